//! The instructions of a batch: which ones episodes have, and the text that the reward model gets for each.

use std::sync::Arc;

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use sayso_rewards::{RewardText, SentenceEmbeddings};
use sayso_sim::seed;
use serde::{Deserialize, Serialize};

use crate::language::{Goal, named_goal};
use crate::task::TaskSpec;
use crate::{EnvConfig, EnvError, Result};

/// Largest number of instructions of a batch, with those that callers add.
const MAX_INSTRUCTIONS: usize = 1 << 16;
/// Purpose of the random stream that selects the instruction of an episode; the scene has a stream of its own, and does not
/// depend on which instructions there are.
const STREAM: u64 = 0x696e_7374_7275_6374;
/// The name that stands for all goals in [`InstructionChoice`].
const ALL: &str = "all";

/// What the agent is to do in an episode, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// The sentence that the agent is given.
    pub text: String,
    /// Index of the goal that counts as success; `None` if the sentence is of none of the task's goals.
    pub goal_idx: Option<usize>,
    /// Whether the sentence is one of [`Goal::held_out_paraphrases`].
    pub is_held_out: bool,
    /// Goal prompts, given to the reward model.
    pub goal_prompts: Vec<String>,
    /// Baseline prompts, given to the reward model: none, or one for each goal prompt.
    pub baseline_prompts: Vec<String>,
}

impl Instruction {
    /// An instruction in the words of a user. If they are a wording or the name of one of the task's goals, it is that goal's.
    /// If they name exactly one of the goals, that goal counts as success, and the reward model is given these words and the
    /// goal's baseline prompt.
    pub fn from_text(spec: &TaskSpec, text: &str) -> Self {
        let of = |(goal_idx, goal): (usize, &Goal)| {
            let is_named = goal.name == text;
            let wording =
                if is_named { Some(&goal.instruction) } else { goal.wordings().find(|it| *it == text) };
            wording.map(|wording| Self::of_goal(goal_idx, goal, wording))
        };
        spec.goals.iter().enumerate().find_map(of).unwrap_or_else(|| {
            let goal_idx = named_goal(&spec.goals, text);
            let baseline = goal_idx.map(|goal_idx| spec.goals[goal_idx].baseline_prompt.clone());
            Self {
                text: text.to_owned(),
                goal_idx,
                is_held_out: false,
                goal_prompts: vec![text.to_owned()],
                baseline_prompts: baseline.into_iter().collect(),
            }
        })
    }

    /// A wording of a goal, with the goal's own prompts.
    fn of_goal(goal_idx: usize, goal: &Goal, wording: &str) -> Self {
        Self {
            text: wording.to_owned(),
            goal_idx: Some(goal_idx),
            is_held_out: goal.held_out_paraphrases.iter().any(|it| it == wording),
            goal_prompts: vec![goal.goal_prompt.clone()],
            baseline_prompts: vec![goal.baseline_prompt.clone()],
        }
    }

    /// What the reward model is given.
    pub fn reward_text(&self) -> RewardText {
        RewardText {
            instruction: self.text.clone(),
            goal_prompts: self.goal_prompts.clone(),
            baseline_prompts: self.baseline_prompts.clone(),
        }
    }
}

/// The sentence and the goal prompts, for errors.
impl std::fmt::Display for Instruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let prompts: Vec<String> = self.goal_prompts.iter().map(|prompt| format!("'{prompt}'")).collect();
        write!(f, "'{}' with the goal prompts {}", self.text, prompts.join(", "))
    }
}

/// Which goals the instructions of episodes are of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Names", into = "Names")]
pub enum InstructionChoice {
    /// The goal of this name, in every episode.
    Goal(String),
    /// One of the goals of these names, sampled for each episode.
    OneOf(Vec<String>),
    /// One of all goals of the task, sampled for each episode.
    All,
}

/// As TOML: a string or a list of strings.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum Names {
    One(String),
    Several(Vec<String>),
}

impl From<Names> for InstructionChoice {
    fn from(names: Names) -> Self {
        match names {
            Names::One(name) if name == ALL => Self::All,
            Names::One(name) => Self::Goal(name),
            Names::Several(names) => Self::OneOf(names),
        }
    }
}

impl From<InstructionChoice> for Names {
    fn from(choice: InstructionChoice) -> Self {
        match choice {
            InstructionChoice::Goal(name) => Self::One(name),
            InstructionChoice::OneOf(names) => Self::Several(names),
            InstructionChoice::All => Self::One(ALL.to_owned()),
        }
    }
}

impl From<&str> for InstructionChoice {
    fn from(name: &str) -> Self {
        Names::One(name.to_owned()).into()
    }
}

impl InstructionChoice {
    /// Indices of the goals.
    ///
    /// # Errors
    /// If a name is unknown or there twice, or there is none.
    pub fn goals(&self, spec: &TaskSpec) -> Result<Vec<usize>> {
        let names = match self {
            Self::All => return Ok((0..spec.goals.len()).collect()),
            Self::Goal(name) => std::slice::from_ref(name),
            Self::OneOf(names) => names,
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let goal_idx = spec.goals.iter().position(|goal| goal.name == *name);
            let known: Vec<&str> = spec.goals.iter().map(|goal| goal.name.as_str()).collect();
            let goal_idx = goal_idx.ok_or_else(|| EnvError::unknown("instruction", name, &known))?;
            if found.contains(&goal_idx) {
                return Err(out_of_range("instruction", format!("'{name}' twice"), "each name once"));
            }
            found.push(goal_idx);
        }
        if found.is_empty() {
            return Err(out_of_range("instruction", "[]", "at least one name"));
        }
        Ok(found)
    }
}

/// Which wordings the instructions of episodes have; one is sampled for each episode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paraphrases {
    /// The instruction alone.
    #[default]
    None,
    /// The instruction and its paraphrases, without those that are held out.
    Training,
    /// The paraphrases that are held out, alone.
    HeldOut,
    /// The instruction and all paraphrases.
    All,
}

impl Paraphrases {
    fn of(self, goal: &Goal) -> Vec<&String> {
        match self {
            Self::None => vec![&goal.instruction],
            Self::Training => std::iter::once(&goal.instruction).chain(&goal.paraphrases).collect(),
            Self::HeldOut => goal.held_out_paraphrases.iter().collect(),
            Self::All => goal.wordings().collect(),
        }
    }
}

/// The instructions that the episodes of a configuration may have, in the order of goals and wordings. `goal_prompts` and
/// `baseline_prompts` replace those of the goals if they are not empty.
///
/// # Errors
/// If a name is unknown, or a text or prompts of one instruction are given for several.
pub fn instructions(
    config: &EnvConfig,
    spec: &TaskSpec,
    goal_prompts: &[String],
    baseline_prompts: &[String],
) -> Result<Vec<Instruction>> {
    let goals = match (&config.instruction, &config.instruction_text, goal_prompts.first()) {
        (Some(choice), ..) => choice.goals(spec)?,
        (None, None, None) => vec![0],
        // The words of the user say which goal it is.
        (None, Some(_), _) => Vec::new(),
        (None, None, Some(prompt)) => named_goal(&spec.goals, prompt).into_iter().collect(),
    };
    let text = match (&config.instruction_text, goals.as_slice()) {
        (Some(text), _) => Some(text),
        (None, []) => goal_prompts.first(),
        (None, [..]) => None,
    };
    if let (2.., [_, ..]) = (goals.len(), goal_prompts) {
        let expected = "no goal prompts, as env.instruction has several goals, each with prompts of its own";
        let got = format!("{} prompts", goal_prompts.len());
        return Err(EnvError::OutOfRange {
            field: "reward.goal_prompts".into(),
            got,
            expected: expected.into(),
        });
    }
    let mut found = match text {
        Some(text) => vec![of_user(config, spec, &goals, text)?],
        None => wordings(config.paraphrases, spec, &goals)?,
    };
    for instruction in &mut found {
        if !goal_prompts.is_empty() {
            instruction.goal_prompts = goal_prompts.to_vec();
            let own = instruction.goal_idx.map(|goal_idx| spec.goals[goal_idx].baseline_prompt.clone());
            instruction.baseline_prompts = own.map_or(Vec::new(), |own| vec![own; goal_prompts.len()]);
        }
        if !baseline_prompts.is_empty() {
            instruction.baseline_prompts = baseline_prompts.to_vec();
        }
    }
    Ok(found)
}

/// The wordings of goals.
fn wordings(paraphrases: Paraphrases, spec: &TaskSpec, goals: &[usize]) -> Result<Vec<Instruction>> {
    let mut found = Vec::new();
    for &goal_idx in goals {
        let goal = &spec.goals[goal_idx];
        let wordings = paraphrases.of(goal);
        if wordings.is_empty() {
            let expected = format!("\"none\", as the goal '{}' has no such paraphrase", goal.name);
            return Err(out_of_range("paraphrases", "\"held_out\"", &expected));
        }
        found.extend(wordings.into_iter().map(|wording| Instruction::of_goal(goal_idx, goal, wording)));
    }
    Ok(found)
}

/// The instruction in the words of the user: [`EnvConfig::instruction_text`], or a goal prompt that names no goal.
fn of_user(config: &EnvConfig, spec: &TaskSpec, goals: &[usize], text: &str) -> Result<Instruction> {
    if 1 < goals.len() {
        let expected = "none, as env.instruction has several goals, each with wordings of its own";
        return Err(out_of_range("instruction_text", format!("'{text}'"), expected));
    }
    if config.paraphrases != Paraphrases::None {
        let got = format!("paraphrases of '{text}'");
        return Err(out_of_range(
            "paraphrases",
            got,
            "\"none\", as only the task's own instructions have others",
        ));
    }
    if text.trim().is_empty() {
        return Err(out_of_range("instruction_text", "an empty text", "a sentence"));
    }
    Ok(match (&config.instruction, goals.first()) {
        (Some(_), Some(&goal_idx)) => Instruction::of_goal(goal_idx, &spec.goals[goal_idx], text),
        _ => Instruction::from_text(spec, text),
    })
}

fn out_of_range(field: &str, got: impl Into<String>, expected: &str) -> EnvError {
    EnvError::OutOfRange { field: format!("env.{field}"), got: got.into(), expected: expected.to_owned() }
}

/// The instructions of a batch of envs.
#[derive(Clone)]
pub(crate) struct Instructions {
    /// Those of the configuration, then those that callers added.
    all: Vec<Instruction>,
    /// What the reward model is given for each.
    texts: Arc<[RewardText]>,
    /// The instructions of each goal that episodes may have; one is sampled of a goal that is sampled.
    by_goal: Vec<Vec<u32>>,
    n_configured: usize,
    /// The text tower of embeddings that are observed.
    sentences: Option<Arc<SentenceEmbeddings>>,
    /// The embedding of each, one after the other.
    embeddings: Arc<[f32]>,
}

impl Instructions {
    /// The instructions of a configuration. `sentences` embeds them, if that is observed.
    ///
    /// # Errors
    /// If the text tower cannot read one of them.
    pub fn new(configured: Vec<Instruction>, sentences: Option<Arc<SentenceEmbeddings>>) -> Result<Self> {
        let indices: Vec<u32> = (0..configured.len() as u32).collect();
        let is_same_goal =
            |a: &u32, b: &u32| configured[*a as usize].goal_idx == configured[*b as usize].goal_idx;
        let by_goal = indices.chunk_by(is_same_goal).map(<[u32]>::to_vec).collect();
        let mut instructions = Self {
            texts: Arc::default(),
            n_configured: configured.len(),
            by_goal,
            all: configured,
            sentences,
            embeddings: Arc::default(),
        };
        instructions.read()?;
        Ok(instructions)
    }

    /// All of them; the columns `instruction` are indices into them.
    pub fn all(&self) -> &[Instruction] {
        &self.all
    }

    /// Those of the configuration.
    pub fn configured(&self) -> &[Instruction] {
        &self.all[..self.n_configured]
    }

    /// What the reward model is given for each of [`Self::all`].
    pub fn texts(&self) -> &Arc<[RewardText]> {
        &self.texts
    }

    /// The goal of an instruction.
    pub fn goal_idx(&self, instruction: u32) -> Option<usize> {
        self.all[instruction as usize].goal_idx
    }

    /// Samples the instruction of an episode, whose random streams have the key `key`.
    pub fn sample(&self, key: [u64; 3]) -> u32 {
        if self.n_configured == 1 {
            return 0;
        }
        let mut rng = seed::stream(&[key[0], key[1], key[2], STREAM]);
        let wordings = &self.by_goal[rng.random_range(0..self.by_goal.len())];
        wordings.choose(&mut rng).copied().unwrap_or(0)
    }

    /// Index of an instruction, which is added if it is not there yet, and stays.
    ///
    /// # Errors
    /// If there are too many.
    pub fn add(&mut self, instruction: Instruction) -> Result<u32> {
        if let Some(idx) = self.all.iter().position(|known| *known == instruction) {
            return Ok(idx as u32);
        }
        if MAX_INSTRUCTIONS <= self.all.len() {
            return Err(EnvError::OutOfRange {
                field: "instruction".to_owned(),
                got: format!("one more than {MAX_INSTRUCTIONS} different ones"),
                expected: format!("at most {MAX_INSTRUCTIONS} in a batch of envs"),
            });
        }
        self.all.push(instruction);
        self.read()?;
        Ok(self.all.len() as u32 - 1)
    }

    /// The same, with others in place of those that callers added.
    ///
    /// # Errors
    /// If the text tower cannot read one of them.
    pub fn with_added(&self, added: &[Instruction]) -> Result<Self> {
        let mut instructions = self.clone();
        instructions.all.truncate(self.n_configured);
        instructions.all.extend_from_slice(added);
        instructions.read()?;
        Ok(instructions)
    }

    /// The embedding of an instruction; empty if it is not observed.
    pub fn embedding(&self, instruction: u32) -> &[f32] {
        let dim = self.embed_dim();
        &self.embeddings[instruction as usize * dim..][..dim]
    }

    /// Width of an embedding; 0 if it is not observed.
    pub fn embed_dim(&self) -> usize {
        self.sentences.as_ref().map_or(0, |sentences| sentences.dim())
    }

    fn read(&mut self) -> Result<()> {
        self.texts = self.all.iter().map(Instruction::reward_text).collect();
        if let Some(sentences) = &self.sentences {
            let texts: Vec<String> = self.all.iter().map(|it| it.text.clone()).collect();
            self.embeddings = sentences.embed(&texts)?.into_values().into();
        }
        Ok(())
    }
}
