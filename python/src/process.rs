//! State of one process that a fork does not inherit: threads, and the state of device drivers.

use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use sayso::sim::render::RenderDevice;

use crate::errors::{DeviceError, SaysoError};

/// The id of a process, and the thread pool in which it runs native work. A fork inherits the memory of rayon's global pool
/// but not its threads, and would wait for them for ever.
static THREADS: Mutex<Option<(u32, Arc<ThreadPool>)>> = Mutex::new(None);

/// Id of the process that used a GPU; 0 if none did.
static GPU_USER: AtomicU32 = AtomicU32::new(0);

/// The thread pool of this process: one thread per core, or `RAYON_NUM_THREADS`.
fn threads() -> PyResult<Arc<ThreadPool>> {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, pool)) = threads.as_ref()
        && *process == process::id()
    {
        return Ok(pool.clone());
    }
    let pool = ThreadPoolBuilder::new().thread_name(|i| format!("sayso-{i}")).build();
    let pool = Arc::new(pool.map_err(|error| SaysoError::new_err(format!("cannot start threads: {error}")))?);
    // Dropping an inherited pool would wait for threads that do not exist in this process.
    std::mem::forget(threads.replace((process::id(), pool.clone())));
    Ok(pool)
}

/// Runs native work without the interpreter's lock, in the thread pool of this process. A panic in it becomes a
/// `SaysoError`: pyo3's `PanicException` is not caught by `except Exception`, and would end a worker that could continue.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> PyResult<T> + Send) -> PyResult<T> {
    let threads = threads()?;
    let result = py.detach(|| catch_unwind(AssertUnwindSafe(|| threads.install(work))));
    result.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(SaysoError::new_err(format!("a fault in Sayso itself: {message} (please report it)")))
    })
}

/// Panics; for the test that a panic becomes an exception.
#[pyfunction]
pub fn panic(py: Python<'_>) -> PyResult<()> {
    detached(py, || panic!("as asked"))
}

/// Records that this process uses a device.
///
/// # Errors
/// If the device is a GPU and this process is a fork of one that used a GPU: its driver does not survive the fork.
pub fn use_device(device: &RenderDevice) -> PyResult<()> {
    if matches!(device, RenderDevice::Cpu) {
        return Ok(());
    }
    let this = process::id();
    match GPU_USER.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Err(user) if user != this => Err(DeviceError::new_err(
            "this process was forked after its parent had used a GPU: start it by spawn or forkserver, or reset no \
             environment on a GPU before the fork",
        )),
        _ => Ok(()),
    }
}

/// A value with threads of its own, for which only the process that created it may wait: a fork does not drop it.
pub struct ProcessLocal<T> {
    /// `None` only while it is dropped.
    value: Option<T>,
    process: u32,
}

impl<T> ProcessLocal<T> {
    /// A value of this process.
    pub fn new(value: T) -> Self {
        Self { value: Some(value), process: process::id() }
    }
}

impl<T> Deref for ProcessLocal<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("present until it is dropped")
    }
}

impl<T> DerefMut for ProcessLocal<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("present until it is dropped")
    }
}

impl<T> Drop for ProcessLocal<T> {
    fn drop(&mut self) {
        if self.process != process::id() {
            std::mem::forget(self.value.take());
        }
    }
}
