//! Instructions of episodes: which ones they have, what is observed of them, and the rewards that are made with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use sayso_envs::{
    AutoresetMode, EnvConfig, Instruction, InstructionChoice, InstructionForm, ObservationConfig,
    Observations, Paraphrases, RewardSource, RewardTerm, ScoringConfig, Space, StepBatch, VecEnv,
    VectorEnv as _,
};
use sayso_rewards::{
    Embeddings, Feature, FrameSelection, ImageTextModel, Result, RewardError, RewardModel, RewardText,
    SentenceEmbeddings, Windows,
};
use sayso_sim::{FrameBatch, FrameRequest, Frames, ImageSpec};

use crate::mean_colour::{MeanColour, actions, config, factor, instructed, make, reset, rewards};

/// The instructions of every episode of `n_steps` steps, in the order of steps and envs.
fn instructions_of(env: &mut VecEnv, n_steps: usize) -> Vec<Vec<u32>> {
    let mut batch = reset(env, 5, None);
    let mut rows = vec![batch.info.instruction.clone()];
    for step in 0..n_steps {
        env.step(&actions(env, step), &mut batch).expect("a step");
        rows.push(batch.info.instruction.clone());
    }
    rows
}

fn without_reward(config: &EnvConfig) -> VecEnv {
    VecEnv::new(config, RewardSource::None).expect("an env")
}

#[test]
fn every_wording_of_every_goal_is_sampled_and_the_scenes_stay_the_same() {
    let mut env = without_reward(&instructed(32, AutoresetMode::SameStep));
    let rows = instructions_of(&mut env, 60);
    let hashes = env.state_hashes();
    let sampled: BTreeSet<u32> = rows.concat().into_iter().collect();
    assert_eq!(env.instructions().len(), 15, "three goals, each with an instruction and four paraphrases");
    assert_eq!(sampled.len(), 15);
    let n_held_out = env.instructions().iter().filter(|it| it.is_held_out).count();
    assert_eq!(n_held_out, 3);
    assert_eq!(rows[0], rows[4], "an instruction lasts for an episode");

    let mut fixed = without_reward(&config(32, AutoresetMode::SameStep));
    assert!(instructions_of(&mut fixed, 60).concat().iter().all(|&instruction| instruction == 0));
    assert_eq!(fixed.state_hashes(), hashes);
}

#[test]
fn the_instruction_of_an_episode_depends_on_its_seed_alone() {
    let of_first_env = |n_envs, n_groups, autoreset| {
        let mut env = without_reward(&EnvConfig { n_groups, ..instructed(n_envs, autoreset) });
        instructions_of(&mut env, 30).iter().map(|row| row[0]).collect::<Vec<_>>()
    };
    let expected = of_first_env(1, 1, AutoresetMode::SameStep);
    for (n_envs, n_groups) in [(7, 3), (64, 2)] {
        assert_eq!(of_first_env(n_envs, n_groups, AutoresetMode::SameStep), expected);
    }
    // With a step for each reset, the same series comes later.
    let mut series = expected;
    series.dedup();
    let mut later = of_first_env(1, 1, AutoresetMode::NextStep);
    later.dedup();
    assert!(3 < later.len() && series.starts_with(&later), "{later:?} of {series:?}");
}

#[test]
fn a_set_of_goals_and_wordings_is_sampled_from() {
    let sentences = |choice: InstructionChoice, paraphrases| {
        let config = EnvConfig { instruction: Some(choice), paraphrases, ..EnvConfig::default() };
        let env = without_reward(&config);
        env.instructions().iter().map(|it| it.text.clone()).collect::<Vec<_>>()
    };
    let two = InstructionChoice::OneOf(vec!["blue".to_owned(), "red".to_owned()]);
    assert_eq!(sentences(two.clone(), Paraphrases::None), ["touch the blue ball", "touch the red ball"]);
    assert_eq!(sentences("green".into(), Paraphrases::Training).len(), 4);
    let held_out = ["put the gripper on the blue ball", "put the gripper on the red ball"];
    assert_eq!(sentences(two, Paraphrases::HeldOut), held_out);
}

#[test]
fn ground_truth_rewards_are_those_of_each_envs_own_goal() {
    let mut env = VecEnv::new(&instructed(16, AutoresetMode::SameStep), RewardSource::GroundTruth).unwrap();
    let mut batch = reset(&mut env, 5, None);
    let mut goals = BTreeSet::new();
    for step in 0..12 {
        env.step(&actions(&env, step), &mut batch).expect("a step");
        for env_idx in 0..16 {
            let instruction = &env.instructions()[batch.info.instruction[env_idx] as usize];
            let goal_idx = instruction.goal_idx.expect("a goal");
            goals.insert(goal_idx);
            assert_eq!(batch.rewards[env_idx], batch.info.ground_truth_reward[env_idx * 3 + goal_idx]);
        }
    }
    assert_eq!(goals.len(), 3);
}

#[test]
fn scores_are_made_with_the_text_of_each_env() {
    let plan = (FrameSelection::Last, ScoringConfig::default());
    let mut fixed = make(&config(8, AutoresetMode::SameStep), &plan);
    reset(&mut fixed, 7, None);
    let plain = rewards(&mut fixed, 4);
    let mut env = make(&instructed(8, AutoresetMode::SameStep), &plan);
    let batch = reset(&mut env, 7, None);
    let factors: Vec<f32> =
        batch.info.instruction.iter().map(|&idx| factor(&env.instructions()[idx as usize].text)).collect();
    assert!(factors.iter().any(|&factor| factor != factors[0]));
    for (row, plain) in rewards(&mut env, 4).iter().zip(plain) {
        let expected: Vec<f32> = plain.iter().zip(&factors).map(|(reward, factor)| factor * reward).collect();
        assert_eq!(*row, expected);
    }
}

#[test]
fn the_instruction_can_change_within_an_episode() {
    for n_groups in [1, 2] {
        let plan = (FrameSelection::Last, ScoringConfig { every_n_steps: 2, ..ScoringConfig::default() });
        let config = EnvConfig { n_groups, ..config(3, AutoresetMode::NextStep) };
        let mut plain = make(&config, &plan);
        reset(&mut plain, 7, None);
        let plain = rewards(&mut plain, 7);

        let mut env = make(&config, &plan);
        let mut batch = reset(&mut env, 7, None);
        let mut got = Vec::new();
        let words = "lift the gripper";
        for step in 0..7 {
            if step == 2 {
                let instruction = Instruction::from_text(env.task_spec(), words);
                env.set_instruction(1, instruction, &mut batch.observations).expect("an instruction");
                assert_eq!(batch.observations.instruction, [0, 1, 0]);
            }
            env.step(&actions(&env, step), &mut batch).expect("a step");
            got.push(batch.rewards.clone());
            let expected = if (2..5).contains(&step) { [0, 1, 0] } else { [0, 0, 0] };
            assert_eq!(batch.info.instruction, expected, "step {step}: the next episode has its own");
        }
        // The score of step 2 is of the former instruction; the next one is that of step 4.
        for (step, (got, plain)) in got.iter().zip(&plain).enumerate() {
            let expected = match step {
                2 => 0.0,
                3 | 4 => factor(words) * plain[1],
                _ => plain[1],
            };
            assert_eq!([got[0], got[1], got[2]], [plain[0], expected, plain[2]], "step {step}");
        }
    }
}

#[test]
fn a_snapshot_has_the_instructions_that_were_added() {
    let plan = (FrameSelection::Last, ScoringConfig::default());
    let mut env = make(&instructed(3, AutoresetMode::SameStep), &plan);
    let mut batch = reset(&mut env, 7, None);
    let added = Instruction::from_text(env.task_spec(), "lift the gripper");
    env.set_instruction(1, added, &mut batch.observations).expect("an instruction");
    rewards(&mut env, 2);
    let snapshot = env.snapshot().expect("a snapshot");
    let expected = rewards(&mut env, 9);

    let grouped = EnvConfig { n_groups: 2, ..instructed(3, AutoresetMode::SameStep) };
    let mut other = make(&grouped, &plan);
    other.restore(&snapshot).expect("restored");
    let mut observations = Observations::default();
    other.render_observations(&mut observations).expect("observations");
    assert_eq!(observations.instruction[1], 15);
    assert_eq!(other.instructions()[15].text, "lift the gripper");
    assert_eq!(rewards(&mut other, 9), expected);

    let mut other = make(&config(3, AutoresetMode::SameStep), &plan);
    let error = other.restore(&snapshot).expect_err("other instructions").to_string();
    assert!(error.contains("number 2 of its instructions is 'reach the red ball'"), "{error}");
}

/// Scores like [`MeanColour`], and reads no word with a `#`.
struct Strict;

impl RewardModel for Strict {
    fn frame_request(&self) -> FrameRequest {
        MeanColour(FrameSelection::Last).frame_request()
    }

    fn feature(&self) -> Feature {
        MeanColour(FrameSelection::Last).feature()
    }

    fn embed_frames(&self, frames: &FrameBatch) -> Result<Embeddings> {
        MeanColour(FrameSelection::Last).embed_frames(frames)
    }

    fn embed_text(&self, text: &RewardText) -> Result<Vec<f32>> {
        assert!(!text.instruction.contains('#'), "a '#'");
        MeanColour(FrameSelection::Last).embed_text(text)
    }

    fn score(&self, windows: &Windows<'_>, out: &mut [f32]) -> Result<()> {
        MeanColour(FrameSelection::Last).score(windows, out)
    }
}

#[test]
fn an_instruction_that_the_reward_model_cannot_read_is_neither_set_nor_restored() {
    let plain = config(1, AutoresetMode::SameStep);
    let strict = || {
        let source = RewardSource::Model(Arc::new(Strict), ScoringConfig::default());
        VecEnv::new(&plain, source).expect("an env")
    };
    let mut env = strict();
    let mut batch = reset(&mut env, 7, None);
    let instruction = Instruction::from_text(env.task_spec(), "#");
    let error = env.set_instruction(0, instruction.clone(), &mut batch.observations).expect_err("unreadable");
    assert_eq!(error.to_string(), "the reward model panicked in embed_text: a '#'");

    let mut other = make(&plain, &(FrameSelection::Last, ScoringConfig::default()));
    let mut batch = reset(&mut other, 3, None);
    other.set_instruction(0, instruction, &mut batch.observations).expect("it reads everything");
    let before = env.state_hashes();
    assert!(env.restore(&other.snapshot().expect("a snapshot")).is_err());
    assert_eq!(env.state_hashes(), before);
    assert_eq!(env.instructions().len(), 1);
    rewards(&mut env, 2);
}

/// Embeds a text by its first two bytes.
struct Bytes(ImageSpec);

impl ImageTextModel for Bytes {
    fn image_spec(&self) -> &ImageSpec {
        &self.0
    }

    fn embed_dim(&self) -> usize {
        2
    }

    fn embed_frames(&self, _: &Frames) -> Result<Embeddings> {
        Ok(Embeddings::default())
    }

    fn embed_prompts(&self, prompts: &[String]) -> Result<Embeddings> {
        let first = |prompt: &String| {
            let (a, b) = (prompt.as_bytes()[0], prompt.as_bytes()[1]);
            if a == b'#' {
                return Err(RewardError::Failed { reason: "unknown word '#'".to_owned() });
            }
            Ok([f32::from(a) / 255.0, f32::from(b) / 255.0])
        };
        let values = prompts.iter().map(first).collect::<Result<Vec<_>>>()?;
        Ok(Embeddings::from_values(2, values.concat()))
    }
}

fn embedding(config: &EnvConfig) -> VecEnv {
    let observation = ObservationConfig::STATE.with_instruction(InstructionForm::Embedding);
    let config = EnvConfig { observation, ..config.clone() };
    let model = Bytes(ImageSpec { height: 1, width: 1, mean: [0.0; 3], std: [1.0; 3] });
    let sentences = Arc::new(SentenceEmbeddings::new(Arc::new(model)));
    VecEnv::with_plugins(&config, RewardSource::None, Some(sentences), |_| {}).expect("an env")
}

#[test]
fn observed_embeddings_are_those_of_the_instructions() {
    let is_of_instruction = |env: &VecEnv, observations: &Observations| {
        let embedded = observations.instruction_embedding.chunks_exact(2);
        assert_eq!(embedded.len(), env.n_envs());
        embedded.zip(&observations.instruction).all(|(embedded, &idx)| {
            let text = env.instructions()[idx as usize].text.as_bytes();
            embedded == [f32::from(text[0]) / 255.0, f32::from(text[1]) / 255.0]
        })
    };
    for autoreset in [AutoresetMode::SameStep, AutoresetMode::NextStep] {
        let mut env = embedding(&EnvConfig { n_groups: 2, ..instructed(5, autoreset) });
        let mut batch = reset(&mut env, 7, None);
        for step in 0..12 {
            env.step(&actions(&env, step), &mut batch).expect("a step");
            assert!(is_of_instruction(&env, &batch.observations));
            if autoreset == AutoresetMode::SameStep && batch.done(0) {
                assert!(is_of_instruction(&env, &batch.final_observations));
                assert_eq!(batch.final_observations.instruction, batch.info.instruction);
                assert_eq!(batch.observations.instruction, batch.restart_info.instruction);
                assert_ne!(batch.observations.instruction, batch.final_observations.instruction);
            }
        }
        let added = Instruction::from_text(env.task_spec(), "lift the gripper");
        env.set_instruction(3, added, &mut batch.observations).expect("an instruction");
        assert!(is_of_instruction(&env, &batch.observations));
        let mut observations = Observations::default();
        env.render_observations(&mut observations).expect("observations");
        assert!(is_of_instruction(&env, &observations) && observations.instruction[3] == 15);
    }
    let error = VecEnv::new(
        &EnvConfig {
            observation: ObservationConfig::STATE.with_instruction(InstructionForm::Embedding),
            ..EnvConfig::default()
        },
        RewardSource::None,
    );
    let error = error.err().expect("no text tower").to_string();
    assert!(error.contains("without a text tower"), "{error}");
}

#[test]
fn the_observation_space_has_the_instruction_in_the_form_that_was_asked_for() {
    let space = |form| {
        let observation = ObservationConfig::STATE.with_instruction(form);
        let env = without_reward(&EnvConfig { observation, ..instructed(1, AutoresetMode::SameStep) });
        match env.single_observation_space() {
            Space::Dict(columns) => columns[1].clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(space(InstructionForm::Index), ("instruction".to_owned(), Space::Discrete { n: 15 }));
    assert!(matches!(space(InstructionForm::Text), (_, Space::Text { .. })));
}

#[test]
fn an_instruction_that_does_not_fit_is_refused_and_nothing_changes() {
    let message = |mut env: VecEnv, env_idx: usize, words: &str| {
        let mut batch = reset(&mut env, 7, None);
        let before = (batch.observations.clone(), env.instructions().len());
        let instruction = Instruction::from_text(env.task_spec(), words);
        let error = env.set_instruction(env_idx, instruction, &mut batch.observations).expect_err("an error");
        assert_eq!((batch.observations, env.instructions().len()), before);
        error.to_string()
    };
    let plain = config(2, AutoresetMode::SameStep);
    let index = ObservationConfig::STATE.with_instruction(InstructionForm::Index);
    let index = without_reward(&EnvConfig { observation: index, ..plain.clone() });
    let text = ObservationConfig::STATE.with_instruction(InstructionForm::Text);
    let text = without_reward(&EnvConfig { observation: text, ..plain.clone() });
    let terms = vec![RewardTerm::Multiply { metric: "success".to_owned() }];
    let scoring = ScoringConfig { terms, ..ScoringConfig::default() };
    let terms = make(&plain, &(FrameSelection::Last, scoring));
    let long = "lift ".repeat(103);
    for (env, env_idx, words, expected) in [
        (without_reward(&plain), 2, "lift it", "env = 2 is out of range"),
        (index, 0, "lift it", "one of the 1 of the observation space"),
        (text, 0, long.as_str(), "at most 512 characters"),
        (terms, 0, "lift it", "a term of the reward"),
        (embedding(&plain), 0, "##", "unknown word '#'"),
    ] {
        let message = message(env, env_idx, words);
        assert!(message.contains(expected), "{message}");
    }
    let mut env = without_reward(&EnvConfig { autoreset: AutoresetMode::NextStep, ..plain.clone() });
    let mut batch = reset(&mut env, 7, None);
    for step in 0..5 {
        env.step(&actions(&env, step), &mut batch).expect("a step");
    }
    let instruction = Instruction::from_text(env.task_spec(), "blue");
    let error = env.set_instruction(0, instruction.clone(), &mut batch.observations);
    assert!(batch.done(0) && error.expect_err("it has ended").to_string().contains("the next episode"));
    env.step(&actions(&env, 5), &mut batch).expect("the next episode");
    env.set_instruction(0, instruction, &mut batch.observations).expect("an instruction");

    let mut env = without_reward(&plain);
    let instruction = Instruction::from_text(env.task_spec(), "blue");
    let error = env.set_instruction(0, instruction, &mut StepBatch::default().observations);
    assert!(error.expect_err("too early").to_string().contains("before reset"));
}

#[test]
fn words_of_a_user_are_of_the_goal_that_they_name() {
    let env = without_reward(&EnvConfig::default());
    let of = |words: &str| {
        let Instruction { text, goal_idx, goal_prompts, baseline_prompts, .. } =
            Instruction::from_text(env.task_spec(), words);
        (text, goal_idx, goal_prompts.concat(), baseline_prompts.concat())
    };
    let green = |text: &str, prompt: &str| {
        (text.to_owned(), Some(1), prompt.to_owned(), "the gripper far from the green ball".to_owned())
    };
    let own = "the gripper touching the green ball";
    assert_eq!(of("green"), green("touch the green ball", own));
    assert_eq!(of("reach the green ball"), green("reach the green ball", own));
    assert_eq!(of("poke the green one"), green("poke the green one", "poke the green one"));
    assert_eq!(of("lift it"), ("lift it".to_owned(), None, "lift it".to_owned(), String::new()));

    let config = |instruction: Option<InstructionChoice>, text: &str| {
        let instruction_text = Some(text.to_owned());
        without_reward(&EnvConfig { instruction, instruction_text, ..EnvConfig::default() }).instructions()[0]
            .clone()
    };
    assert_eq!(config(Some("blue".into()), "lift it").goal_idx, Some(2));
    assert_eq!(config(None, "lift it").goal_idx, None, "no goal counts as success");
}

#[test]
fn a_reward_model_with_words_of_a_user_scores_with_them() {
    let model = Arc::new(MeanColour(FrameSelection::Last));
    let scoring = ScoringConfig { goal_prompts: vec!["a prompt".to_owned()], ..ScoringConfig::default() };
    let source = RewardSource::Model(model.clone(), scoring.clone());
    let red = EnvConfig { instruction: Some("red".into()), ..config(1, AutoresetMode::SameStep) };
    let env = VecEnv::new(&red, source).expect("an env");
    let text = &env.reward_texts()[0];
    assert_eq!(
        (text.instruction.as_str(), text.goal_prompts[0].as_str()),
        ("touch the red ball", "a prompt")
    );
    assert_eq!(text.baseline_prompts, ["the gripper far from the red ball"]);

    // Prompts that name a goal say which goal it is; others leave none, and no baseline.
    for (prompt, goal_idx, text, n_baselines) in
        [("a blue thing", Some(2), "touch the blue ball", 1), ("a prompt", None, "a prompt", 0)]
    {
        let goal_prompts = vec![prompt.to_owned()];
        let scoring = ScoringConfig { goal_prompts, ..ScoringConfig::default() };
        let source = RewardSource::Model(model.clone(), scoring.clone());
        let env = VecEnv::new(&config(1, AutoresetMode::SameStep), source).expect("an env");
        let own = &env.instructions()[0];
        assert_eq!(
            (own.goal_idx, own.text.as_str(), own.baseline_prompts.len()),
            (goal_idx, text, n_baselines)
        );
        let paraphrased =
            EnvConfig { paraphrases: Paraphrases::Training, ..config(1, AutoresetMode::SameStep) };
        let error = VecEnv::new(&paraphrased, RewardSource::Model(model.clone(), scoring)).err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(
            error.contains("env.paraphrases = paraphrases of 'a prompt'"),
            goal_idx.is_none(),
            "{error}"
        );
    }

    let source = RewardSource::Model(model, scoring);
    let error = VecEnv::new(&instructed(1, AutoresetMode::SameStep), source).err().expect("three goals");
    assert!(error.to_string().contains("env.instruction has several goals"), "{error}");
}
