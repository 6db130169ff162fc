//! An algorithm of one's own in one file: the cross-entropy method (Rubinstein 1999) for linear policies. Every env is
//! controlled by a candidate of its own; the best candidates give mean and spread of the next ones.
//!
//!     cargo run --release -p sayso-agents --example cross_entropy

use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use sayso_agents::algorithm::{Cadence, TrainProgress, UpdateStats};
use sayso_agents::policy::{ActionSpec, PolicySpaces};
use sayso_agents::registry::{self, NamedOptions};
use sayso_agents::steps::Steps;
use sayso_agents::{Algorithm, AlgorithmOptions, Policy, Result, SavedState, TrainConfig, train};
use sayso_envs::{Actions, EnvConfig, Observations, RewardSource, VecEnv};
use sayso_rewards::nn::init::standard_normal;
use serde::{Deserialize, Serialize};

/// The keys of `[train.cross_entropy]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CrossEntropy {
    /// Steps that a candidate is tried for.
    n_steps: usize,
    /// Number of candidates that the next ones are made of.
    n_best: usize,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self { n_steps: 200, n_best: 12 }
    }
}

impl NamedOptions for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    const SUMMARY: &'static str = "The cross-entropy method for linear policies.";
}

impl AlgorithmOptions for CrossEntropy {
    fn discount(&self) -> f64 {
        1.0
    }

    fn start(&self, spaces: &PolicySpaces, n_envs: usize, rng: &mut Pcg64) -> Result<Box<dyn Algorithm>> {
        let n_parameters = spaces.actions.head_dim() * (spaces.state_dim + 1);
        let mut state = State {
            mean: vec![0.0; n_parameters],
            std: vec![1.0; n_parameters],
            candidates: vec![vec![]; n_envs],
            rng: Pcg64::from_rng(rng),
        };
        state.sample();
        let (options, spaces) = (self.clone(), spaces.clone());
        Ok(Box::new(Search { options, spaces, returns: vec![0.0; n_envs], state }))
    }

    fn policy(&self, spaces: &PolicySpaces, saved: &SavedState) -> Result<Box<dyn Policy>> {
        let State { mean, .. } = saved.value("search")?;
        Ok(Box::new(Linear { spaces: spaces.clone(), parameters: mean }))
    }
}

struct Search {
    options: CrossEntropy,
    spaces: PolicySpaces,
    returns: Vec<f32>,
    state: State,
}

#[derive(Serialize, Deserialize)]
struct State {
    mean: Vec<f32>,
    std: Vec<f32>,
    candidates: Vec<Vec<f32>>,
    rng: Pcg64,
}

impl State {
    fn sample(&mut self) {
        for candidate in &mut self.candidates {
            let value = |(mean, std): (&f32, &f32)| mean + std * standard_normal(&mut self.rng);
            *candidate = self.mean.iter().zip(&self.std).map(value).collect();
        }
    }
}

impl Algorithm for Search {
    fn cadence(&self) -> Cadence {
        Cadence { n_steps: self.options.n_steps, learns_before_rewards: false }
    }

    fn act(&mut self, observations: &Observations) -> Result<Actions> {
        Ok(actions(&self.spaces, observations, self.state.candidates.iter()))
    }

    fn add_rewards(&mut self, steps: &Steps, _observations: &Observations) -> Result<()> {
        for (env_idx, mean_return) in self.returns.iter_mut().enumerate() {
            let rows = || (env_idx..steps.n_rows()).step_by(steps.n_envs);
            let n_episodes = 1 + rows().filter(|&row| steps.done(row)).count();
            *mean_return = rows().map(|row| steps.rewards[row]).sum::<f32>() / n_episodes as f32;
        }
        Ok(())
    }

    fn update(&mut self, _progress: TrainProgress) -> Result<UpdateStats> {
        let State { mean, std, candidates, .. } = &mut self.state;
        let mut ranked: Vec<(f32, &Vec<f32>)> = self.returns.iter().copied().zip(candidates.iter()).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.truncate(self.options.n_best.max(1));
        let n = ranked.len() as f32;
        for (i, (mean, std)) in mean.iter_mut().zip(std).enumerate() {
            *mean = ranked.iter().map(|(_, candidate)| candidate[i]).sum::<f32>() / n;
            let variance =
                ranked.iter().map(|(_, candidate)| (candidate[i] - *mean).powi(2)).sum::<f32>() / n;
            *std = variance.sqrt().max(0.05);
        }
        let best = f64::from(ranked[0].0);
        self.state.sample();
        Ok(vec![("best_return", best)])
    }

    fn into_policy(self: Box<Self>) -> Box<dyn Policy> {
        Box::new(Linear { spaces: self.spaces, parameters: self.state.mean })
    }

    fn save(&self, saved: &mut SavedState) -> Result<()> {
        saved.add_value("search", &self.state)
    }

    fn load(&mut self, saved: &SavedState) -> Result<()> {
        self.state = saved.value("search")?;
        Ok(())
    }
}

struct Linear {
    spaces: PolicySpaces,
    parameters: Vec<f32>,
}

impl Policy for Linear {
    fn act(&mut self, observations: &Observations, _rng: &mut Pcg64) -> Result<Actions> {
        Ok(actions(&self.spaces, observations, std::iter::repeat(&self.parameters)))
    }
}

/// The actions of linear policies, one for each row of the states.
fn actions<'a>(
    spaces: &PolicySpaces,
    observations: &Observations,
    parameters: impl Iterator<Item = &'a Vec<f32>>,
) -> Actions {
    let rows = observations.state.chunks_exact(spaces.state_dim).zip(parameters);
    let outputs = rows.map(|(state, parameters)| {
        let weights = parameters.chunks_exact(spaces.state_dim + 1);
        let output = |w: &[f32]| state.iter().zip(w).map(|(s, w)| s * w).sum::<f32>() + w[state.len()];
        weights.map(output).collect::<Vec<f32>>()
    });
    if let ActionSpec::Continuous { .. } = spaces.actions {
        return spaces.actions.clip(&Actions::Continuous(outputs.flatten().collect()));
    }
    let best = |row: Vec<f32>| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
    Actions::Discrete(outputs.map(|row| best(row) as u32).collect())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // From here on, `algorithm = "cross_entropy"` is valid in every configuration of this process.
    registry::register::<CrossEntropy>()?;
    let env = EnvConfig { id: "CartPole-v1".to_owned(), n_envs: 64, ..EnvConfig::default() };
    let mut env = VecEnv::new(&env, RewardSource::GroundTruth)?;
    let config = TrainConfig::new(&CrossEntropy::default(), 200_000, 0)?;
    let outcome = train(&mut env, None, &config, None, &mut ())?;
    println!("{:?}", outcome.last_report);
    Ok(())
}
