//! Columns: rows on the device with a copy on the host, so that only what changed is uploaded.

use std::ops::Range;

use bytemuck::Pod;

use super::device::Gpu;
use crate::Result;

/// Unchanged rows are uploaded too when at most this many lie between two changed ones.
const MAX_GAP: usize = 64;

/// A device buffer that grows on demand.
#[derive(Debug)]
pub(super) struct Store {
    what: &'static str,
    usage: wgpu::BufferUsages,
    buffer: Option<wgpu::Buffer>,
}

impl Store {
    pub fn new(what: &'static str, usage: wgpu::BufferUsages) -> Self {
        Self { what, usage: usage | wgpu::BufferUsages::STORAGE, buffer: None }
    }

    /// Makes room for `size` bytes. Returns the buffer and whether it is a new one, which is empty.
    pub fn reserve(&mut self, gpu: &Gpu, size: u64) -> Result<(wgpu::Buffer, bool)> {
        if let Some(buffer) = self.buffer.as_ref().filter(|buffer| size <= buffer.size()) {
            return Ok((buffer.clone(), false));
        }
        // A quarter more, so that a slowly growing batch does not reallocate its columns at every step.
        let roomy = (size + size / 4).next_multiple_of(256).min(gpu.max_buffer()).max(size);
        self.buffer = None;
        let buffer = gpu.buffer(self.what, roomy.max(256), self.usage)?;
        self.buffer = Some(buffer.clone());
        Ok((buffer, true))
    }

    /// The buffer; a new one of 256 bytes if nothing was reserved.
    pub fn get(&mut self, gpu: &Gpu) -> Result<wgpu::Buffer> {
        Ok(self.reserve(gpu, 256)?.0)
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        self.buffer.as_ref().map_or(0, wgpu::Buffer::size)
    }
}

/// Rows written by the host.
#[derive(Debug)]
pub(super) struct Column<T> {
    store: Store,
    rows: Vec<T>,
    /// Ranges that differ from what the device has, ascending.
    changed: Vec<Range<usize>>,
}

impl<T: Pod + PartialEq> Column<T> {
    pub fn new(what: &'static str) -> Self {
        Self { store: Store::new(what, wgpu::BufferUsages::COPY_DST), rows: Vec::new(), changed: Vec::new() }
    }

    /// Replaces all rows.
    pub fn replace(&mut self, rows: impl Iterator<Item = T>) {
        self.rows.clear();
        self.rows.extend(rows);
        self.changed.clear();
        self.changed.push(0..self.rows.len());
    }

    /// Sets a row; rows are set in ascending order. Returns whether it changed.
    pub fn set(&mut self, idx: usize, row: T) -> bool {
        if self.rows[idx] == row {
            return false;
        }
        self.rows[idx] = row;
        match self.changed.last_mut() {
            Some(range) if range.start <= idx && idx <= range.end + MAX_GAP => {
                range.end = range.end.max(idx + 1);
            }
            _ => self.changed.push(idx..idx + 1),
        }
        true
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Uploads what changed and returns the buffer.
    pub fn upload(&mut self, gpu: &Gpu) -> Result<wgpu::Buffer> {
        let size = std::mem::size_of_val(self.rows.as_slice()) as u64;
        let (buffer, is_new) = self.store.reserve(gpu, size)?;
        if is_new {
            self.changed.clear();
            self.changed.push(0..self.rows.len());
        }
        for range in self.changed.drain(..).filter(|range| !range.is_empty()) {
            let bytes: &[u8] = bytemuck::cast_slice(&self.rows[range.clone()]);
            gpu.queue.write_buffer(&buffer, (range.start * size_of::<T>()) as u64, bytes);
        }
        Ok(buffer)
    }

    /// Bytes on the device.
    pub fn size(&self) -> u64 {
        self.store.size()
    }
}
