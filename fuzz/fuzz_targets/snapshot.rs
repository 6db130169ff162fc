//! Snapshots of a batch: arbitrary bytes, an intact snapshot with some bytes changed, and changed batches and worlds whose
//! checksum is right.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sayso::envs::{EnvConfig, ResetOptions, RewardSource, StepBatch, VecEnv, VectorEnv as _, registry};
use sayso::sim::SimWorld;
use sayso_fuzz::edited;

struct Fixture {
    env: VecEnv,
    snapshot: Vec<u8>,
    world: SimWorld,
    world_snapshot: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let config = EnvConfig { id: "CartPole-v1".to_owned(), n_envs: 2, ..EnvConfig::default() };
        let mut env = VecEnv::new(&config, RewardSource::None).expect("an environment");
        let options = ResetOptions { seed: Some(1.into()), mask: None };
        env.reset(&options, &mut StepBatch::default()).expect("a reset");
        let snapshot = env.snapshot().expect("a snapshot");
        let task = registry::task("CartPole-v1", &Default::default()).expect("a task");
        let world = SimWorld::new(task.scene()).expect("a world");
        let world_snapshot = world.snapshot().expect("a snapshot");
        Self { env, snapshot, world, world_snapshot }
    }
}

thread_local! {
    static FIXTURE: RefCell<Fixture> = RefCell::new(Fixture::new());
}

/// The value before the checksum, with edits, and with the checksum that fits.
fn resealed(sealed: &[u8], edits: &[u8]) -> Vec<u8> {
    let (value, _) = sealed.split_last_chunk::<4>().expect("a checksum");
    let mut bytes = edited(value, edits);
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    FIXTURE.with_borrow_mut(|fixture| match mode % 4 {
        0 => drop(fixture.env.restore(data)),
        1 => {
            let bytes = edited(&fixture.snapshot, data);
            assert_eq!(fixture.env.restore(&bytes).is_ok(), bytes == fixture.snapshot);
        }
        2 => {
            if fixture.env.restore(&resealed(&fixture.snapshot, data)).is_ok() {
                fixture.env.restore(&fixture.snapshot).expect("the original");
            }
        }
        _ => drop(fixture.world.read_snapshot(&resealed(&fixture.world_snapshot, data))),
    });
});
