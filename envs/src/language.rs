//! Language of tasks: goals with their instructions and prompts, and captions of states.

/// A goal of a task, with its texts. Ground truth measures for each goal whether a state meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Name: a short identifier for configurations, columns and tables.
    pub name: String,
    /// Instruction: the text given to the agent.
    pub instruction: String,
    /// Paraphrases: other wordings of the instruction.
    pub paraphrases: Vec<String>,
    /// Further paraphrases, which episodes of training do not have, to test whether a policy reads.
    pub held_out_paraphrases: Vec<String>,
    /// Goal prompt, given to the reward model: describes a state in which the goal is met.
    pub goal_prompt: String,
    /// Baseline prompt, given to the reward model: describes the scene without the goal being met.
    pub baseline_prompt: String,
}

impl Goal {
    /// The instruction and all of its paraphrases.
    pub fn wordings(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.instruction).chain(&self.paraphrases).chain(&self.held_out_paraphrases)
    }

    /// Whether a prompt names this goal: it contains the goal's name as a word, whatever the case.
    pub fn is_named_in(&self, prompt: &str) -> bool {
        prompt.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case(&self.name))
    }
}

/// The goal that a prompt names, if it names exactly one; the only goal, if there is only one.
pub fn named_goal(goals: &[Goal], prompt: &str) -> Option<usize> {
    if goals.len() == 1 {
        return Some(0);
    }
    let mut named = goals.iter().enumerate().filter(|(_, goal)| goal.is_named_in(prompt));
    match (named.next(), named.next()) {
        (Some((goal_idx, _)), None) => Some(goal_idx),
        _ => None,
    }
}

/// A description that may be true of a state, in one or more phrasings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// Sentences with the same meaning; the first is the plainest.
    pub phrasings: Vec<String>,
    /// Index of the axis on which the caption is a level. Captions of one axis are adjacent and in the order of its levels;
    /// their degrees of truth sum to 1, or to 0 where the axis does not apply.
    pub axis: Option<usize>,
    /// Never used in training; it tests compositional generalisation.
    pub is_held_out: bool,
}

impl Caption {
    /// A caption that training may use, on no axis.
    pub fn new<S: Into<String>>(phrasings: impl IntoIterator<Item = S>) -> Self {
        Self { phrasings: phrasings.into_iter().map(Into::into).collect(), axis: None, is_held_out: false }
    }

    /// The same caption as a level of an axis.
    pub fn on_axis(self, axis: usize) -> Self {
        Self { axis: Some(axis), ..self }
    }
}
