//! What tasks can say: goals that an agent may be given, and captions about states.

/// One thing that an agent may be asked for, in words, with ground truth kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Short name, for options, columns and tables.
    pub name: String,
    /// What the agent is told.
    pub instruction: String,
    /// Other ways to tell it.
    pub paraphrases: Vec<String>,
    /// What the reward model is told to look for: the state when the goal is met.
    pub goal_prompt: String,
    /// What the reward model is told to look away from: the scene, without the goal.
    pub baseline_prompt: String,
}

impl Goal {
    /// Whether a prompt is about this goal and about no other of the list: it contains the goal's name as a word.
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

/// Something that may be true of a state, and the sentences that say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// Sentences of one meaning; the first is the plainest.
    pub phrasings: Vec<String>,
    /// Which scale the statement is a mark on. Statements of one axis stand side by side, in the order of the scale, and
    /// their degrees of truth sum to 1, or to 0 where the axis does not apply.
    pub axis: Option<usize>,
    /// Never used in training; kept back to test whether a model composes what it knows.
    pub is_held_out: bool,
}

impl Caption {
    /// A statement that training may use.
    pub fn new<S: Into<String>>(phrasings: impl IntoIterator<Item = S>) -> Self {
        Self { phrasings: phrasings.into_iter().map(Into::into).collect(), axis: None, is_held_out: false }
    }

    /// The same statement as a mark on an axis.
    pub fn on_axis(self, axis: usize) -> Self {
        Self { axis: Some(axis), ..self }
    }
}
