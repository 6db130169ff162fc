//! Tensors in files of `torch.save`: a ZIP archive with the stream `NAME/data.pkl` and the values `NAME/data/KEY`.
//!
//! candle's reader of such files panics on streams with too few arguments, copies values that are referred to twice, and leaves
//! out tensors that it cannot read (ADR 0013).

use std::fmt::Display;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use zip::ZipArchive;
use zip::result::ZipError;

use super::pickle::{Graph, Idx, Value};
use super::weights::Tensors;
use crate::error::tensor_message;

/// Suffix of the entry with the stream.
const STREAM: &str = "/data.pkl";
/// Names of the functions that make tensors begin like this.
const REBUILDERS: [&str; 2] = ["torch._utils._rebuild_", "torch._tensor._rebuild_"];
/// Maximum ratio of the sizes of the tensors of a storage to its own size, as memory is allocated for each.
const MAX_SHARING: usize = 16;

/// Reads the tensors of a state dict: the file's object, or the value of its key `state_dict`. Values of the dict that are not
/// tensors are left out.
pub(super) fn read(path: &Path) -> Result<Tensors, String> {
    let damaged = |reason: &dyn Display| format!("damaged, or not a file of torch.save: {reason}");
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| damaged(&error))?;
    let stream_name = stream_name(&archive).map_err(|error| damaged(&error))?;
    let folder = stream_name.strip_suffix(STREAM).unwrap_or_default().to_owned();
    if let Some(order) = entry(&mut archive, &format!("{folder}/byteorder"))?
        && order.trim_ascii() != b"little"
    {
        return Err(format!("its byte order is '{}', expected 'little'", String::from_utf8_lossy(&order)));
    }
    let stream = entry(&mut archive, &stream_name)?.unwrap_or_default();
    let (graph, object) = Graph::parse(&stream).map_err(|error| damaged(&error))?;
    let mut stored = Vec::new();
    for &(key, value) in state_dict(&graph, object)? {
        let Some(name) = graph.text(key) else { continue };
        let Some(args) = tensor_args(&graph, value) else { continue };
        let tensor = args.and_then(|args| Stored::parse(&graph, args));
        stored.push((name, tensor.ok_or_else(|| format!("tensor '{name}': its type is not supported"))?));
    }
    // Tensors of the same storage follow each other, so that one storage is in memory at a time.
    stored.sort_by_key(|(_, stored)| stored.key);
    let mut tensors = Tensors::new();
    for group in stored.chunk_by(|(_, a), (_, b)| a.key == b.key) {
        for (name, tensor) in read_group(&mut archive, &folder, group)? {
            if tensors.insert(name.to_owned(), tensor).is_some() {
                return Err(format!("tensor '{name}' is there twice"));
            }
        }
    }
    Ok(tensors)
}

/// Reads the tensors of one storage.
fn read_group<'a>(
    archive: &mut ZipArchive<BufReader<File>>,
    folder: &str,
    group: &[(&'a str, Stored<'_>)],
) -> Result<Vec<(&'a str, Tensor)>, String> {
    let Some((first, stored)) = group.first() else { return Ok(Vec::new()) };
    let name = format!("{folder}/data/{}", stored.key);
    let storage =
        entry(archive, &name)?.ok_or_else(|| format!("tensor '{first}': there is no entry '{name}'"))?;
    let mut n_bytes = 0;
    let read = |(name, stored): &(&'a str, Stored<'_>)| {
        let tensor = stored.read(&storage).map_err(|reason| format!("tensor '{name}': {reason}"))?;
        n_bytes += tensor.elem_count() * stored.dtype.size_in_bytes();
        if n_bytes > MAX_SHARING * storage.len() {
            return Err(format!("tensor '{name}': more than {MAX_SHARING} tensors have the same values"));
        }
        Ok((*name, tensor))
    };
    group.iter().map(read).collect()
}

fn stream_name(archive: &ZipArchive<BufReader<File>>) -> Result<String, String> {
    let names = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
    let mut streams: Vec<String> = names.filter(|name| name.ends_with(STREAM)).collect();
    match (streams.pop(), streams.is_empty()) {
        (Some(name), true) => Ok(name),
        _ => Err("expected one entry NAME/data.pkl".to_owned()),
    }
}

/// The content of an entry, with its checksum verified; `None` if there is no such entry.
fn entry(archive: &mut ZipArchive<BufReader<File>>, name: &str) -> Result<Option<Vec<u8>>, String> {
    let failed = |error: &dyn Display| format!("damaged: entry '{name}': {error}");
    let mut entry = match archive.by_name(name) {
        Ok(entry) => entry,
        Err(ZipError::FileNotFound) => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    Ok(Some(bytes))
}

fn state_dict(graph: &Graph, object: Idx) -> Result<&[(Idx, Idx)], String> {
    let Value::Dict(entries) = graph.get(object) else {
        return Err("it is not a dict of tensors; save the model's state_dict()".to_owned());
    };
    if entries.iter().any(|&(_, value)| tensor_args(graph, value).is_some()) {
        return Ok(entries);
    }
    let inner = entries.iter().find(|&&(key, _)| graph.text(key) == Some("state_dict"));
    match inner.map(|&(_, value)| graph.get(value)) {
        Some(Value::Dict(entries)) => Ok(entries),
        _ => Err("it has no tensors, and no 'state_dict'".to_owned()),
    }
}

/// The arguments of `_rebuild_tensor_v2`, if the value is a tensor or a parameter: `None` if it is something else, `Some(None)` if
/// it is a tensor of a kind that is not supported.
fn tensor_args(graph: &Graph, value: Idx) -> Option<Option<&[Idx]>> {
    let value = match graph.get(value) {
        Value::Built { object, .. } => *object,
        _ => value,
    };
    let (name, args) = graph.call(value)?;
    match name {
        "torch._utils._rebuild_tensor_v2" => Some(Some(args)),
        "torch._utils._rebuild_parameter" => Some(args.first().and_then(|&tensor| inner_args(graph, tensor))),
        "torch._tensor._rebuild_from_type_v2" => Some(match args {
            [function, _, args, ..] if graph.global(*function) == Some("torch._utils._rebuild_tensor_v2") => {
                graph.tuple(*args)
            }
            _ => None,
        }),
        name => REBUILDERS.iter().any(|prefix| name.starts_with(prefix)).then_some(None),
    }
}

/// The arguments of the tensor of a parameter, which is not a parameter itself.
fn inner_args(graph: &Graph, value: Idx) -> Option<&[Idx]> {
    match graph.call(value)? {
        ("torch._utils._rebuild_tensor_v2", args) => Some(args),
        _ => None,
    }
}

/// Where a tensor's values are.
struct Stored<'a> {
    dtype: DType,
    key: &'a str,
    /// Offset of the first value, in values.
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl<'a> Stored<'a> {
    /// From the arguments of `_rebuild_tensor_v2`: storage, offset, size, strides, …
    fn parse(graph: &'a Graph, args: &[Idx]) -> Option<Self> {
        let &[storage, offset, shape, strides, ..] = args else { return None };
        let Value::Persistent(storage) = graph.get(storage) else { return None };
        let &[kind, class, key, ..] = graph.tuple(*storage)? else { return None };
        (graph.text(kind)? == "storage").then_some(())?;
        let dtype = match graph.global(class)? {
            "torch.FloatStorage" => DType::F32,
            "torch.DoubleStorage" => DType::F64,
            "torch.HalfStorage" => DType::F16,
            "torch.BFloat16Storage" => DType::BF16,
            "torch.ByteStorage" | "torch.BoolStorage" => DType::U8,
            "torch.ShortStorage" => DType::I16,
            "torch.IntStorage" => DType::I32,
            "torch.LongStorage" => DType::I64,
            _ => return None,
        };
        let size = |idx: Idx| usize::try_from(graph.int(idx)?).ok();
        let sizes = |idx: Idx| graph.tuple(idx)?.iter().map(|&idx| size(idx)).collect::<Option<Vec<_>>>();
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        let is_valid = shape.len() == strides.len();
        is_valid.then_some(Self { dtype, key: graph.text(key)?, offset: size(offset)?, shape, strides })
    }

    /// The tensor, from the bytes of its storage.
    fn read(&self, storage: &[u8]) -> Result<Tensor, String> {
        let too_large = || format!("its shape {:?} is too large", self.shape);
        // Bounds also the strides of an empty tensor.
        let bound = self.shape.iter().try_fold(1, |n: usize, &size| n.checked_mul(size.max(1)));
        let n_values: usize =
            if bound.is_some() { self.shape.iter().product() } else { return Err(too_large()) };
        let span = if n_values == 0 { Some(0) } else { self.span() }.ok_or_else(too_large)?;
        // Only a tensor that repeats its values has more of them than its storage.
        if n_values > span {
            return Err("values that are repeated (an expanded tensor) are not supported".to_owned());
        }
        let n_bytes = self.dtype.size_in_bytes();
        let bytes = self.offset.checked_mul(n_bytes).zip(span.checked_mul(n_bytes));
        let bytes = bytes.and_then(|(start, len)| storage.get(start..)?.get(..len));
        let bytes = bytes.ok_or("its storage is cut short")?;
        let tensor = if self.is_row_major() {
            Tensor::from_raw_buffer(bytes, self.dtype, &self.shape, &Device::Cpu)
        } else {
            Tensor::from_raw_buffer(&self.gather(bytes, n_values), self.dtype, &self.shape, &Device::Cpu)
        };
        tensor.map_err(|error| tensor_message(&error))
    }

    fn is_row_major(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&size, &stride)| {
            let is_next = size == 1 || stride == expected;
            expected *= size;
            is_next
        })
    }

    /// The values in row-major order, from those between the first and the last one.
    fn gather(&self, bytes: &[u8], n_values: usize) -> Vec<u8> {
        let n_bytes = self.dtype.size_in_bytes();
        let mut out = Vec::with_capacity(n_values * n_bytes);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..n_values {
            let place: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            out.extend_from_slice(&bytes[place * n_bytes..][..n_bytes]);
            for (i, &size) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < size {
                    break;
                }
                *i = 0;
            }
        }
        out
    }

    /// Number of values from the first to the last one of a tensor that is not empty.
    fn span(&self) -> Option<usize> {
        let ends = self.shape.iter().zip(&self.strides);
        ends.map(|(&size, &stride)| (size - 1).checked_mul(stride))
            .try_fold(1, |span: usize, n| span.checked_add(n?))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Expected {
        shape: Vec<usize>,
        values: Vec<f64>,
    }

    /// A file that `tests/golden/torch_file.py` made.
    fn golden(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torch_file").join(name)
    }

    #[test]
    fn tensors_of_every_type_and_layout_have_the_values_of_torch() {
        let expected = std::fs::read_to_string(golden("values.json")).expect("the golden values");
        let expected: BTreeMap<String, Expected> = serde_json::from_str(&expected).expect("JSON");
        for file in ["state_dict.bin", "nested.bin"] {
            let tensors = read(&golden(file)).expect(file);
            assert_eq!(tensors.len(), expected.len(), "{file}");
            for (name, expected) in &expected {
                let tensor = &tensors[name];
                assert_eq!(tensor.dims(), expected.shape, "{file}: {name}");
                let values =
                    tensor.to_dtype(DType::F64).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f64>());
                assert_eq!(values.expect("f64"), expected.values, "{file}: {name}");
            }
        }
    }

    #[test]
    fn what_is_not_a_dict_of_supported_tensors_is_refused_with_a_reason() {
        for (file, reason) in [
            ("expanded.bin", "tensor 'expanded': values that are repeated"),
            ("complex.bin", "tensor 'complex': its type is not supported"),
            ("list.bin", "it is not a dict of tensors"),
            ("values.json", "damaged, or not a file of torch.save"),
        ] {
            let error = read(&golden(file)).expect_err(file);
            assert!(error.contains(reason), "{file}: {error}");
        }
    }

    #[test]
    fn a_flipped_bit_of_a_weight_is_found() {
        let bytes = std::fs::read(golden("state_dict.bin")).expect("the golden file");
        // The values of `f32` are sevenths, so that these bytes are the second of them.
        let place =
            bytes.windows(4).position(|window| window == (1.0_f32 / 7.0).to_le_bytes()).expect("the value");
        let mut flipped = bytes;
        flipped[place] ^= 1;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), flipped).expect("a write");
        let error = read(file.path()).expect_err("a damaged file");
        assert!(error.contains("damaged: entry 'state_dict/data/0'"), "{error}");
    }
}
