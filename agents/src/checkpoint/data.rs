//! A tensor as stored in a file: type, shape and little-endian bytes.

use std::borrow::Cow;

use candle_core::Tensor;
use safetensors::tensor::{Dtype, TensorView, View};

/// Type, shape and little-endian bytes of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorData {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorData {
    /// Copies an f32 tensor to host memory.
    ///
    /// # Errors
    /// If it is of another type.
    pub fn from_tensor(tensor: &Tensor) -> candle_core::Result<Self> {
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        Ok(Self { shape: tensor.dims().to_vec(), ..Self::from_f32(&values) })
    }

    /// A vector of f32.
    pub fn from_f32(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F32, shape: vec![values.len()], bytes }
    }

    /// A vector of f64.
    pub fn from_f64(values: &[f64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { dtype: Dtype::F64, shape: vec![values.len()], bytes }
    }

    /// A vector of bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { dtype: Dtype::U8, shape: vec![bytes.len()], bytes }
    }

    pub(super) fn from_view(view: &TensorView) -> Self {
        Self { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() }
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn checksum(&self) -> u32 {
        crc32c::crc32c(&self.bytes)
    }

    pub(super) fn to_f32(&self) -> Result<Vec<f32>, String> {
        self.expect(Dtype::F32)?;
        let (values, _) = self.bytes.as_chunks();
        Ok(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn to_f64(&self) -> Result<Vec<f64>, String> {
        self.expect(Dtype::F64)?;
        let (values, _) = self.bytes.as_chunks();
        Ok(values.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn to_bytes(&self) -> Result<&[u8], String> {
        self.expect(Dtype::U8)?;
        Ok(&self.bytes)
    }

    fn expect(&self, dtype: Dtype) -> Result<(), String> {
        if self.dtype == dtype { Ok(()) } else { Err(format!("expected {dtype:?}, got {:?}", self.dtype)) }
    }
}

impl View for &TensorData {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
