//! What a process has of its own and a fork of it has not: threads, and what a device's driver keeps.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sayso::sim::render::RenderDevice;

use crate::errors::{DeviceError, SaysoError};

/// The threads that native work enters by, and their process. Of rayon's own pool a fork would have the memory without the
/// threads, and wait for them for ever.
static THREADS: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// The process that used a graphics processor; 0 if none did.
static GPU_USER: AtomicU32 = AtomicU32::new(0);

/// The threads of this process, as many as there are cores or as `RAYON_NUM_THREADS` says.
fn threads() -> PyResult<Arc<ThreadPool>> {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, pool)) = threads.as_ref()
        && *process == process::id()
    {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new().thread_name(|i| format!("sayso-{i}")).build();
    let pool = Arc::new(pool.map_err(|error| SaysoError::new_err(format!("no threads: {error}")))?);
    // What a fork inherited has nobody to say goodbye to.
    std::mem::forget(threads.replace((process::id(), pool.clone())));
    Ok(pool)
}

/// Does native work without the interpreter's lock, on this process's own threads. A panic in it, which would be no fault of
/// the caller's, is a `SaysoError`: pyo3's own exception for it passes by every `except Exception`, and would end a worker that
/// could go on.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    let threads = threads()?;
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(|| threads.install(work))));
    done.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(SaysoError::new_err(format!("a fault in Sayso itself: {said} (please report it)")))
    })
}

/// Panics, so that a test can see what becomes of it.
#[pyfunction]
pub fn panic(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("as asked"))
}

/// Says that this process uses what `device` stands for.
///
/// # Errors
/// If that is a graphics processor, and this process is a fork of one that used one: its driver does not survive that.
pub fn use_device(device: &RenderDevice) -> PyResult<()> {
    if matches!(device, RenderDevice::Cpu) {
        return Ok(());
    }
    let this = process::id();
    match GPU_USER.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Err(user) if user != this => Err(DeviceError::new_err(
            "this process was forked after its parent had used a graphics processor: start it by spawn or forkserver, or \
             reset no environment on a graphics processor before the fork",
        )),
        _ => Ok(()),
    }
}

/// Something with threads of its own, which only the process that made it may wait for: a fork leaves it be when it is done.
pub struct OfProcess<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    process: u32,
}

impl<T> OfProcess<T> {
    /// Made by this process.
    pub fn new(value: T) -> Self {
        Self { value: Some(value), process: process::id() }
    }
}

impl<T> Deref for OfProcess<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until it is dropped")
    }
}

impl<T> DerefMut for OfProcess<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("it is there until it is dropped")
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.process != process::id() {
            std::mem::forget(self.value.take());
        }
    }
}
