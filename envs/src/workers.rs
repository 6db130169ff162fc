//! Worker threads that step groups concurrently.

use std::panic::resume_unwind;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::group::Group;
use crate::{EnvError, Result};

/// A worker for every group but the first, which steps on the caller's thread.
#[derive(Debug)]
pub(crate) struct GroupWorkers {
    workers: Vec<Worker>,
}

/// A worker thread. It owns its group during a step only; between steps the batch does.
#[derive(Debug)]
struct Worker {
    /// Set to `None` to end the thread.
    to_step: Option<Sender<Group>>,
    stepped: Receiver<(Group, Result<()>)>,
    thread: Option<JoinHandle<()>>,
}

impl GroupWorkers {
    /// Starts `n_groups - 1` threads.
    pub fn new(n_groups: usize) -> Result<Self> {
        Ok(Self { workers: (1..n_groups).map(Worker::spawn).collect::<Result<_>>()? })
    }

    /// Steps every group, and returns the first error in the order of the groups.
    ///
    /// # Panics
    /// If the step of a group panics.
    pub fn step(&mut self, groups: &mut Vec<Group>) -> Result<()> {
        for (worker, group) in self.workers.iter().zip(groups.drain(1..)) {
            let sent = worker.to_step.as_ref().is_some_and(|to_step| to_step.send(group).is_ok());
            assert!(sent, "the thread of a group of envs has ended");
        }
        let mut outcome = groups[0].step();
        for worker in &mut self.workers {
            match worker.stepped.recv() {
                Ok((group, stepped)) => {
                    groups.push(group);
                    outcome = outcome.and(stepped);
                }
                Err(_) => worker.fail(),
            }
        }
        outcome
    }
}

impl Worker {
    fn spawn(group: usize) -> Result<Self> {
        let (to_step, groups) = bounded::<Group>(1);
        let (done, stepped) = bounded(1);
        let work = move || {
            for mut group in groups {
                let outcome = group.step();
                if done.send((group, outcome)).is_err() {
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name(format!("sayso-envs-{group}")).spawn(work);
        let thread = spawned.map_err(|error| EnvError::NoThread(error.to_string()))?;
        Ok(Self { to_step: Some(to_step), stepped, thread: Some(thread) })
    }

    /// Propagates the panic of the thread.
    fn fail(&mut self) -> ! {
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(panic)) => resume_unwind(panic),
            _ => panic!("the thread of a group of envs has ended"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.to_step = None;
        if let Some(thread) = self.thread.take() {
            // `fail` has propagated a panic already.
            let _ = thread.join();
        }
    }
}
