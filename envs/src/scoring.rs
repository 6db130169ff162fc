//! The reward model's part of a step: which frames are rendered for it, and their scores.

use std::sync::Arc;

use bevy::ecs::resource::Resource;
use bevy::ecs::system::{Query, Res, ResMut};
use bevy::ecs::world::{Mut, World};
use sayso_rewards::{FrameRow, LatestScore, RewardFrames, RewardText, Score, Scorer, ScoringPlan};
use sayso_sim::app::{Renderer, Sensors, Slot, in_slot_order};
use sayso_sim::sensor::Selection;
use sayso_sim::{FramePart, SimWorld};

use crate::composition::Composition;
use crate::engine::{Batch, BatchConfig, Episode, Row};

/// The reward model of a group's envs.
#[derive(Resource)]
pub(crate) struct Scoring {
    pub plan: ScoringPlan,
    /// Discount of [`sayso_rewards::RewardSchedule::Potential`].
    pub discount: f32,
    /// Terms that combine the reward with metrics.
    pub composition: Composition,
    /// Index of the sensor of the frames after an action, or of the first ones of a reset.
    pub sensor: usize,
    /// Index of the sensor of the first frames of episodes that start in the last step of others, if they are needed.
    pub first_sensor: Option<usize>,
    /// Scores frames within the step; `None` if the caller scores them later.
    pub scorer: Option<Scorer>,
    /// Envs and steps of the frames of `sensor`.
    pub rows: Vec<FrameRow>,
    /// Envs of the frames of `first_sensor`.
    pub first_rows: Vec<FrameRow>,
    /// `[n_envs]`: scores of this step.
    pub scores: Vec<Option<f32>>,
    /// `[n_envs]`: the latest score of each env's episode.
    pub latest: Vec<Option<LatestScore>>,
    buffer: RewardFrames,
    of_step: Vec<Score>,
}

impl Scoring {
    pub fn new(
        plan: ScoringPlan,
        discount: f32,
        composition: Composition,
        sensor: usize,
        first_sensor: Option<usize>,
        scorer: Option<Scorer>,
        n_envs: usize,
    ) -> Self {
        Self {
            plan,
            discount,
            composition,
            sensor,
            first_sensor,
            scorer,
            rows: Vec::new(),
            first_rows: Vec::new(),
            scores: vec![None; n_envs],
            latest: vec![None; n_envs],
            buffer: RewardFrames::default(),
            of_step: Vec::new(),
        }
    }

    /// Lists the frames of a step that the model needs, and selects their envs for rendering.
    fn select<'a>(
        &mut self,
        sensors: &mut Sensors,
        envs: impl Iterator<Item = (&'a Slot, &'a SimWorld, &'a Row, &'a Episode)>,
        max_episode_steps: u32,
    ) {
        self.rows.clear();
        for (slot, world, row, episode) in envs {
            let is_last = !episode.is_fresh && (row.is_terminal() || episode.n_steps >= max_episode_steps);
            let is_wanted = !episode.is_idle && !world.is_faulty();
            if is_wanted && self.plan.is_embedded(episode.n_steps, is_last) {
                self.rows.push(FrameRow { is_last, ..frame_row(*slot, episode) });
            }
        }
        self.rows.sort_unstable_by_key(|row| row.env_idx);
        select(&mut sensors.0[self.sensor].selection, &self.rows);
    }

    /// Scores the frames of `rows` that a sensor rendered; the scores are then in [`Self::scores`].
    fn score(
        &mut self,
        sensors: &mut Sensors,
        sensor: usize,
        is_first: bool,
        texts: &Arc<[RewardText]>,
    ) -> sayso_rewards::Result<()> {
        self.scores.fill(None);
        let rows = if is_first { &mut self.first_rows } else { &mut self.rows };
        let Some(scorer) = self.scorer.as_mut().filter(|_| !rows.is_empty()) else { return Ok(()) };
        self.buffer.frames.parts.resize_with(1, Default::default);
        std::mem::swap(&mut self.buffer.rows, rows);
        self.buffer.texts = Arc::clone(texts);
        sensors.0[sensor].swap_frames(&mut self.buffer.frames.parts[0]);
        let outcome = scorer.score(&self.buffer, &mut self.of_step);
        // Back to the sensor, from which `swap_reward_frames` takes them.
        sensors.0[sensor].swap_frames(&mut self.buffer.frames.parts[0]);
        std::mem::swap(&mut self.buffer.rows, rows);
        for &Score { row, score } in &self.of_step {
            self.scores[row.env_idx as usize] = Some(score);
        }
        outcome
    }

    /// An episode of one env started, and this step scored its first frame, if it is scored.
    pub fn start(&mut self, env_idx: usize, text_idx: u32) {
        self.latest[env_idx] = self.scores[env_idx].map(|score| LatestScore { score, text_idx });
    }

    /// Number of parts of [`Self::swap_frames`].
    pub fn n_parts(&self) -> usize {
        1 + usize::from(self.first_sensor.is_some())
    }

    /// Exchanges the frames of the last step for buffers, and appends their rows; `first_env` is added to their envs.
    pub fn swap_frames(
        &mut self,
        sensors: &mut Sensors,
        parts: &mut [FramePart],
        first_env: usize,
        rows: &mut Vec<FrameRow>,
    ) {
        let of_sensors = [(Some(self.sensor), &mut self.rows), (self.first_sensor, &mut self.first_rows)];
        let of_sensors = of_sensors.into_iter().filter_map(|(sensor, rows)| Some((sensor?, rows)));
        for ((sensor, own), part) in of_sensors.zip(parts) {
            if own.is_empty() {
                part.clear();
                continue;
            }
            sensors.0[sensor].swap_frames(part);
            let of_batch = |row: FrameRow| FrameRow { env_idx: row.env_idx + first_env as u32, ..row };
            rows.extend(own.drain(..).map(of_batch));
        }
    }
}

fn frame_row(slot: Slot, episode: &Episode) -> FrameRow {
    let &Episode { n_steps, instruction, .. } = episode;
    FrameRow { env_idx: slot.0.0 as u32, n_steps, is_last: false, text_idx: instruction }
}

fn select(selection: &mut Selection, rows: &[FrameRow]) {
    let mut slots = match std::mem::replace(selection, Selection::All) {
        Selection::Slots(slots) => slots,
        Selection::All => Vec::new(),
    };
    slots.clear();
    slots.extend(rows.iter().map(|row| row.env_idx as usize));
    *selection = Selection::Slots(slots);
}

/// Observe, after the observations: selects the frames that the reward model needs of this step.
pub(crate) fn select_frames(
    config: Res<BatchConfig>,
    scoring: Option<ResMut<Scoring>>,
    mut sensors: ResMut<Sensors>,
    envs: Query<(&Slot, &SimWorld, &Row, &Episode)>,
) {
    let Some(mut scoring) = scoring else { return };
    scoring.first_rows.clear();
    scoring.select(&mut sensors, envs.iter(), config.max_episode_steps);
}

/// Reward: scores the frames of this step.
pub(crate) fn score_frames(
    config: Res<BatchConfig>,
    scoring: Option<ResMut<Scoring>>,
    mut sensors: ResMut<Sensors>,
    mut batch: ResMut<Batch>,
) {
    let Some(mut scoring) = scoring else { return };
    let sensor = scoring.sensor;
    if let Err(error) = scoring.score(&mut sensors, sensor, false, config.instructions.texts()) {
        batch.error = Some(error.into());
    }
}

/// Reset, after the restarts of [`crate::AutoresetMode::SameStep`]: renders and scores the first frames of the episodes that started.
pub(crate) fn score_first_frames(
    config: Res<BatchConfig>,
    scoring: Option<ResMut<Scoring>>,
    mut sensors: ResMut<Sensors>,
    mut renderer: ResMut<Renderer>,
    episodes: Query<(&Slot, &Episode)>,
    worlds: Query<(&Slot, &SimWorld)>,
    mut batch: ResMut<Batch>,
) {
    let Some(mut scoring) = scoring else { return };
    let Some(sensor) = scoring.first_sensor else { return };
    let scoring = &mut *scoring;
    let started = episodes.iter().filter(|(_, episode)| episode.is_fresh);
    scoring.first_rows.extend(started.map(|(slot, episode)| frame_row(*slot, episode)));
    scoring.first_rows.sort_unstable_by_key(|row| row.env_idx);
    select(&mut sensors.0[sensor].selection, &scoring.first_rows);
    if scoring.first_rows.is_empty() {
        return;
    }
    if let Err(error) = sensors.0[sensor].render(&mut renderer.backend, &in_slot_order(&worlds)) {
        renderer.failure = Some(error);
        return;
    }
    // The step renders it here alone.
    select(&mut sensors.0[sensor].selection, &[]);
    if let Err(error) = scoring.score(&mut sensors, sensor, true, config.instructions.texts()) {
        batch.error = Some(error.into());
    }
    for idx in 0..scoring.first_rows.len() {
        let FrameRow { env_idx, text_idx, .. } = scoring.first_rows[idx];
        scoring.start(env_idx as usize, text_idx);
    }
}

/// After a reset by the caller: renders and scores the first frames of the episodes that started.
pub(crate) fn score_resets(world: &mut World) {
    if !world.contains_resource::<Scoring>() {
        return;
    }
    world.resource_scope(|world, mut scoring: Mut<Scoring>| {
        world.resource_scope(|world, mut sensors: Mut<Sensors>| {
            let scoring = &mut *scoring;
            let mut envs = world.query::<(&Slot, &SimWorld, &Row, &Episode)>();
            scoring.first_rows.clear();
            scoring.select(&mut sensors, envs.iter(world), u32::MAX);
            for (slot, .., episode) in envs.iter(world) {
                if !episode.is_idle {
                    scoring.latest[slot.0.0] = None;
                }
            }
            if scoring.rows.is_empty() {
                return;
            }
            let rendered = world.resource_scope(|world, mut renderer: Mut<Renderer>| {
                let mut envs = world.query::<(&Slot, &SimWorld)>();
                let envs = envs.query(world);
                let rendered = sensors.0[scoring.sensor].render(&mut renderer.backend, &in_slot_order(&envs));
                rendered.map_err(|error| renderer.failure = Some(error)).is_ok()
            });
            if !rendered {
                return;
            }
            let texts = Arc::clone(world.resource::<BatchConfig>().instructions.texts());
            if let Err(error) = scoring.score(&mut sensors, scoring.sensor, false, &texts) {
                world.resource_mut::<Batch>().error = Some(error.into());
            }
            for idx in 0..scoring.rows.len() {
                let FrameRow { env_idx, text_idx, .. } = scoring.rows[idx];
                scoring.start(env_idx as usize, text_idx);
            }
        });
    });
}
