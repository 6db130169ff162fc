//! Gradient steps of SAC.

use candle_core::{Device, Tensor, Var};
use rand_pcg::Pcg64;
use sayso_rewards::nn::{Adam, Parameters};

use super::SacConfig;
use super::networks::{Actor, Critic, Spec};
use crate::Result;
use crate::checkpoint::SavedState;
use crate::policy::Inputs;
use crate::replay::Transitions;

/// The value of Stable-Baselines3's SAC.
const ADAM_EPSILON: f64 = 1e-8;

/// The networks, their optimisers and the temperature.
pub(super) struct Networks {
    pub actor: Actor,
    actor_adam: Adam,
    critics: [Learned; 2],
    /// The only one is the logarithm of the temperature.
    temperature: Parameters,
    temperature_adam: Adam,
    target_entropy: f64,
}

/// A critic, its optimiser, and its target.
struct Learned {
    critic: Critic,
    adam: Adam,
    target: Critic,
}

/// Means over the transitions of a minibatch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    pub actor: f64,
    pub critic: f64,
    pub entropy: f64,
    /// Mean value of the actions that were taken.
    pub value: f64,
}

impl Losses {
    pub fn add(&mut self, other: Self) {
        self.actor += other.actor;
        self.critic += other.critic;
        self.entropy += other.entropy;
        self.value += other.value;
    }

    pub fn mean(self, n: usize) -> Self {
        let n = n.max(1) as f64;
        Self {
            actor: self.actor / n,
            critic: self.critic / n,
            entropy: self.entropy / n,
            value: self.value / n,
        }
    }
}

impl Networks {
    pub fn new(spec: Spec, config: &SacConfig, rng: &mut Pcg64) -> Result<Self> {
        let target_entropy = config.target_entropy.unwrap_or(-(spec.action_dim() as f64));
        let mut learned = || {
            let (critic, target) = (Critic::new(&spec, rng)?, Critic::new(&spec, rng)?);
            target.parameters.follow(&critic.parameters, 1.0)?;
            let adam = Adam::new(&critic.parameters)?.with_epsilon(ADAM_EPSILON);
            Ok::<_, crate::AgentError>(Learned { critic, adam, target })
        };
        let critics = [learned()?, learned()?];
        let mut temperature = Parameters::default();
        let log = config.initial_temperature.ln() as f32;
        temperature.add("log", Var::from_vec(vec![log], 1, &Device::Cpu)?);
        let actor = Actor::new(spec, rng)?;
        Ok(Self {
            actor_adam: Adam::new(&actor.parameters)?.with_epsilon(ADAM_EPSILON),
            actor,
            critics,
            temperature_adam: Adam::new(&temperature)?.with_epsilon(ADAM_EPSILON),
            temperature,
            target_entropy,
        })
    }

    pub fn temperature(&self) -> Result<f64> {
        let mut log = 0.0;
        for (_, var) in self.temperature.iter() {
            log = f64::from(var.to_vec1::<f32>()?[0]);
        }
        Ok(log.exp())
    }

    /// One gradient step of critics, actor and temperature, in the order of Stable-Baselines3.
    pub fn step(
        &mut self,
        batch: &Transitions,
        config: &SacConfig,
        learning_rate: f64,
        rng: &mut Pcg64,
    ) -> Result<Losses> {
        let n_rows = batch.rewards.len();
        let (inputs, next) = (self.actor.inputs(&batch.inputs)?, self.actor.inputs(&batch.next_inputs)?);
        let temperature = self.temperature()?;

        let taken = Tensor::from_slice(&batch.actions, (n_rows, self.actor.spec.action_dim()), &Device::Cpu)?;
        let targets = self.targets(batch, &next, temperature, rng)?;
        let [first, second] = &mut self.critics;
        let (first, second) = rayon::join(
            || first.step(&inputs, &taken, &targets, learning_rate),
            || second.step(&inputs, &taken, &targets, learning_rate),
        );
        let ((first_loss, first_value), (second_loss, second_value)) = (first?, second?);

        let sampled = self.actor.sample(&inputs, n_rows, rng)?;
        let value_grad = self.value_gradient(&inputs, &sampled.actions.detach())?;
        // The gradient of the values of the actions is that of this product.
        let of_values = (&sampled.actions * &value_grad.grad)?.sum_all()?;
        let mean_log_prob = sampled.log_probs.mean_all()?;
        let loss = ((&mean_log_prob * temperature)? - (of_values / n_rows as f64)?)?;
        self.actor_adam.step(&loss.backward()?, learning_rate, f64::INFINITY)?;

        let log_prob = f64::from(mean_log_prob.to_scalar::<f32>()?);
        self.step_temperature(log_prob, learning_rate)?;
        for Learned { critic, target, .. } in &self.critics {
            target.parameters.follow(&critic.parameters, config.tau)?;
        }
        Ok(Losses {
            actor: temperature * log_prob - value_grad.mean,
            critic: first_loss + second_loss,
            entropy: -log_prob,
            value: 0.5 * (first_value + second_value),
        })
    }

    /// `[n_rows]`: what the critics should predict.
    fn targets(
        &self,
        batch: &Transitions,
        next: &Inputs,
        temperature: f64,
        rng: &mut Pcg64,
    ) -> Result<Tensor> {
        let n_rows = batch.rewards.len();
        let sampled = self.actor.sample(next, n_rows, rng)?;
        let actions = sampled.actions.detach();
        let [first, second] = &self.critics;
        let (first, second) = rayon::join(
            || first.target.forward_constant(next, &actions),
            || second.target.forward_constant(next, &actions),
        );
        let value = (first?.minimum(&second?)? - (sampled.log_probs.detach() * temperature)?)?;
        let discounts = Tensor::from_slice(&batch.discounts, n_rows, &Device::Cpu)?;
        let rewards = Tensor::from_slice(&batch.rewards, n_rows, &Device::Cpu)?;
        Ok((rewards + (discounts * value)?)?.detach())
    }

    /// The gradient of the smaller of the two values of each action.
    fn value_gradient(&self, inputs: &Inputs, actions: &Tensor) -> Result<ValueGradient> {
        let of = |critic: &Critic| {
            let actions = Var::from_tensor(actions)?;
            let values = critic.forward_constant(inputs, &actions)?;
            let grads = values.sum_all()?.backward()?;
            let grad = grads.get(&actions).cloned().map_or_else(|| actions.zeros_like(), Ok)?;
            Ok::<_, crate::AgentError>((values.detach(), grad))
        };
        let [first, second] = &self.critics;
        let (first, second) = rayon::join(|| of(&first.critic), || of(&second.critic));
        let ((first, first_grad), (second, second_grad)) = (first?, second?);
        let is_first = first.le(&second)?.unsqueeze(1)?.broadcast_as(first_grad.shape())?;
        let grad = is_first.where_cond(&first_grad, &second_grad)?;
        let mean = f64::from(first.minimum(&second)?.mean_all()?.to_scalar::<f32>()?);
        Ok(ValueGradient { grad, mean })
    }

    fn step_temperature(&mut self, log_prob: f64, learning_rate: f64) -> Result<()> {
        for (_, log) in self.temperature.iter() {
            let loss = (log.as_tensor() * -(log_prob + self.target_entropy))?.sum_all()?;
            self.temperature_adam.step(&loss.backward()?, learning_rate, f64::INFINITY)?;
        }
        Ok(())
    }

    pub fn save(&self, state: &mut SavedState) -> Result<()> {
        state.add_parameters(super::POLICY, &self.actor.parameters)?;
        state.add_adam("adam.policy", &self.actor.parameters, &self.actor_adam)?;
        state.add_parameters("temperature", &self.temperature)?;
        state.add_adam("adam.temperature", &self.temperature, &self.temperature_adam)?;
        for (critic_idx, Learned { critic, adam, target }) in self.critics.iter().enumerate() {
            state.add_parameters(&format!("critic_{critic_idx}"), &critic.parameters)?;
            state.add_parameters(&format!("target_{critic_idx}"), &target.parameters)?;
            state.add_adam(&format!("adam.critic_{critic_idx}"), &critic.parameters, adam)?;
        }
        Ok(())
    }

    pub fn load(&mut self, state: &SavedState) -> Result<()> {
        state.set_parameters(super::POLICY, &self.actor.parameters)?;
        state.set_adam("adam.policy", &self.actor.parameters, &mut self.actor_adam)?;
        state.set_parameters("temperature", &self.temperature)?;
        state.set_adam("adam.temperature", &self.temperature, &mut self.temperature_adam)?;
        for (critic_idx, Learned { critic, adam, target }) in self.critics.iter_mut().enumerate() {
            state.set_parameters(&format!("critic_{critic_idx}"), &critic.parameters)?;
            state.set_parameters(&format!("target_{critic_idx}"), &target.parameters)?;
            state.set_adam(&format!("adam.critic_{critic_idx}"), &critic.parameters, adam)?;
        }
        Ok(())
    }
}

/// Of the smaller value of each action.
struct ValueGradient {
    /// `[n_rows, action_dim]`.
    grad: Tensor,
    /// Mean of the values.
    mean: f64,
}

impl Learned {
    /// Returns the loss, and the mean value of the actions.
    fn step(
        &mut self,
        inputs: &Inputs,
        actions: &Tensor,
        targets: &Tensor,
        learning_rate: f64,
    ) -> Result<(f64, f64)> {
        let values = self.critic.forward(inputs, actions)?;
        let loss = ((&values - targets)?.sqr()?.mean_all()? * 0.5)?;
        self.adam.step(&loss.backward()?, learning_rate, f64::INFINITY)?;
        let mean = f64::from(values.mean_all()?.to_scalar::<f32>()?);
        Ok((f64::from(loss.to_scalar::<f32>()?), mean))
    }
}
