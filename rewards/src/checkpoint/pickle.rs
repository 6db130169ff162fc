//! Python's pickle format, as far as files of tensors use it: a parse into a graph of values. Nothing is executed.
//!
//! Every opcode adds at most one value, values refer to each other by index, and names of globals are short, so that memory and
//! time are proportional to the length of the stream, whatever it contains.

use std::collections::HashMap;

/// Maximum length of a global's name, bytes: it is copied wherever it is used.
const MAX_NAME_LEN: usize = 256;

/// Index of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Idx(usize);

/// A value. What tensors do not need is [`Value::Other`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i64),
    Text(String),
    Tuple(Vec<Idx>),
    List(Vec<Idx>),
    Dict(Vec<(Idx, Idx)>),
    /// A class or a function, `module.name`.
    Global(String),
    /// The result of calling a global.
    Call {
        callable: Idx,
        args: Idx,
    },
    /// An object outside the stream, by its key.
    Persistent(Idx),
    /// An object with a state that was set after its construction.
    Built {
        object: Idx,
        state: Idx,
    },
    Other,
}

/// The values of a stream.
#[derive(Debug, Default)]
pub(super) struct Graph {
    values: Vec<Value>,
}

impl Graph {
    /// Parses a stream. Also returns its last value, which is the pickled object.
    pub fn parse(stream: &[u8]) -> Result<(Self, Idx), String> {
        let mut parser = Parser {
            rest: stream,
            graph: Self::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
        };
        while parser.step()? {}
        let object = parser.pop()?;
        Ok((parser.graph, object))
    }

    pub fn get(&self, idx: Idx) -> &Value {
        &self.values[idx.0]
    }

    pub fn int(&self, idx: Idx) -> Option<i64> {
        if let Value::Int(value) = self.get(idx) { Some(*value) } else { None }
    }

    pub fn text(&self, idx: Idx) -> Option<&str> {
        if let Value::Text(text) = self.get(idx) { Some(text) } else { None }
    }

    pub fn tuple(&self, idx: Idx) -> Option<&[Idx]> {
        if let Value::Tuple(items) = self.get(idx) { Some(items) } else { None }
    }

    pub fn global(&self, idx: Idx) -> Option<&str> {
        if let Value::Global(name) = self.get(idx) { Some(name) } else { None }
    }

    /// The name of the called global, and its arguments.
    pub fn call(&self, idx: Idx) -> Option<(&str, &[Idx])> {
        let Value::Call { callable, args } = self.get(idx) else { return None };
        Some((self.global(*callable)?, self.tuple(*args)?))
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    graph: Graph,
    stack: Vec<Idx>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Idx>,
}

impl<'a> Parser<'a> {
    /// Executes one opcode; false after the last one. The names are those of Python's `pickletools`.
    fn step(&mut self) -> Result<bool, String> {
        let [opcode] = self.bytes()?;
        match opcode {
            // PROTO, FRAME: nothing to do.
            0x80 => drop(self.bytes::<1>()?),
            0x95 => drop(self.bytes::<8>()?),
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            // NONE, NEWTRUE, NEWFALSE, BINFLOAT.
            b'N' | 0x88 | 0x89 => self.push(Value::Other),
            b'G' => {
                self.bytes::<8>()?;
                self.push(Value::Other);
            }
            // SHORT_BINBYTES, BINBYTES, LONG4, EMPTY_SET, ADDITEMS, POP, POP_MARK: not part of tensors.
            b'C' => {
                let [len] = self.bytes()?;
                self.take(len.into())?;
                self.push(Value::Other);
            }
            b'B' | 0x8b => {
                let len = u32::from_le_bytes(self.bytes()?);
                self.take(len as usize)?;
                self.push(Value::Other);
            }
            0x8f => self.push(Value::Other),
            0x90 | b'1' => drop(self.pop_to_mark()?),
            b'0' => drop(self.pop()?),
            // BININT, BININT1, BININT2, LONG1.
            b'J' => {
                let value = i32::from_le_bytes(self.bytes()?);
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let [value] = self.bytes()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.bytes()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let [len] = self.bytes()?;
                let value = long(self.take(len.into())?);
                self.push(value);
            }
            // SHORT_BINUNICODE, BINUNICODE.
            0x8c => {
                let [len] = self.bytes()?;
                self.text(len.into())?;
            }
            b'X' => {
                let len = u32::from_le_bytes(self.bytes()?);
                self.text(len as usize)?;
            }
            // GLOBAL, STACK_GLOBAL.
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.graph.text(module), self.graph.text(name)) else {
                    return Err("the name of a global is not a text".to_owned());
                };
                let (module, name) = (short(module)?.to_owned(), short(name)?.to_owned());
                self.push_global(&module, &name)?;
            }
            // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE.
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let items = self.pop_n(usize::from(opcode - 0x84))?;
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Tuple(items));
            }
            // EMPTY_LIST, APPEND, APPENDS, LIST.
            b']' => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Value::List(items));
            }
            // EMPTY_DICT, SETITEM, SETITEMS, DICT.
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => {
                let items = self.pop_n(2)?;
                self.extend_dict(&items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(&items)?;
            }
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Value::Dict(Vec::new()));
                self.extend_dict(&items)?;
            }
            // BINPERSID, REDUCE, NEWOBJ, BUILD.
            b'Q' => {
                let key = self.pop()?;
                self.push(Value::Persistent(key));
            }
            b'R' | 0x81 => {
                let (args, callable) = (self.pop()?, self.pop()?);
                let is_dict = self.graph.global(callable) == Some("collections.OrderedDict");
                self.push(if is_dict { Value::Dict(Vec::new()) } else { Value::Call { callable, args } });
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.pop()?);
                // A state dict has its module versions as an attribute; they are not tensors.
                if matches!(self.graph.get(object), Value::Dict(_)) {
                    self.stack.push(object);
                } else {
                    self.push(Value::Built { object, state });
                }
            }
            // BINPUT, LONG_BINPUT, MEMOIZE, BINGET, LONG_BINGET.
            b'q' => {
                let [key] = self.bytes()?;
                self.memorise(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.bytes()?);
                self.memorise(key)?;
            }
            0x94 => self.memorise(self.memo.len() as u32)?,
            b'h' => {
                let [key] = self.bytes()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.bytes()?);
                self.recall(key)?;
            }
            other => return Err(format!("the opcode 0x{other:02x} is not supported")),
        }
        Ok(true)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(Idx(self.graph.values.len()));
        self.graph.values.push(value);
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), String> {
        self.push(Value::Global(format!("{}.{}", short(module)?, short(name)?)));
        Ok(())
    }

    /// The lowest index on the stack that may be popped: what is below an open mark belongs to an outer value.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Idx, String> {
        self.pop_n(1).map(|items| items[0])
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Idx>, String> {
        match self.stack.len().checked_sub(n) {
            Some(start) if start >= self.floor() => Ok(self.stack.split_off(start)),
            _ => Err("a value is missing on the stack".to_owned()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Idx>, String> {
        let start = self.marks.pop().ok_or("a MARK is missing")?;
        Ok(self.stack.split_off(start))
    }

    /// The container on top of the stack.
    fn top(&mut self) -> Result<&mut Value, String> {
        let idx = self.stack.last().ok_or("a container is missing on the stack")?;
        Ok(&mut self.graph.values[idx.0])
    }

    fn extend_list(&mut self, items: Vec<Idx>) -> Result<(), String> {
        match self.top()? {
            Value::List(list) => list.extend(items),
            _ => return Err("items are appended to a value that is not a list".to_owned()),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Idx]) -> Result<(), String> {
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top()? {
            Value::Dict(dict) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|&[key, value]| (key, value)))
            }
            _ => return Err("items are set in a value that is not a dict, or a value is missing".to_owned()),
        }
        Ok(())
    }

    fn memorise(&mut self, key: u32) -> Result<(), String> {
        let idx = *self.stack.last().ok_or("a value is missing on the stack")?;
        self.memo.insert(key, idx);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let idx = *self.memo.get(&key).ok_or("a value is referred to that was not stored")?;
        self.stack.push(idx);
        Ok(())
    }

    fn text(&mut self, len: usize) -> Result<(), String> {
        let text = std::str::from_utf8(self.take(len)?).map_err(|_| "a text is not UTF-8")?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    fn line(&mut self) -> Result<String, String> {
        let len = self.rest.iter().position(|&byte| byte == b'\n').ok_or("the stream is cut short")?;
        let line = self.take(len + 1)?;
        Ok(String::from_utf8_lossy(&line[..len]).into_owned())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or("the stream is cut short")?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or("the stream is cut short")?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn short(name: &str) -> Result<&str, String> {
    if name.len() <= MAX_NAME_LEN { Ok(name) } else { Err("the name of a global is too long".to_owned()) }
}

/// A little-endian number in two's complement; one of more than eight bytes is not a size of a tensor.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > size_of::<i64>() {
        return Value::Other;
    }
    let is_negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut value = [if is_negative { 0xff } else { 0 }; size_of::<i64>()];
    value[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_refer_to_each_other() {
        // pickle.dumps({"a": (1, -2, 300), "b": [x, x]}, protocol=2), where x is the tuple.
        let stream = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01J\xfe\xff\xff\xffM\x2c\x01\x87q\x02X\x01\x00\x00\x00bq\x03]q\x04(h\x02h\x02eu.";
        let (graph, object) = Graph::parse(stream).expect("a valid stream");
        let Value::Dict(entries) = graph.get(object) else { panic!("a dict") };
        let keys: Vec<_> = entries.iter().map(|&(key, _)| graph.text(key)).collect();
        assert_eq!(keys, [Some("a"), Some("b")]);
        let numbers: Vec<_> =
            graph.tuple(entries[0].1).unwrap_or_default().iter().map(|&i| graph.int(i)).collect();
        assert_eq!(numbers, [Some(1), Some(-2), Some(300)]);
        assert_eq!(graph.get(entries[1].1), &Value::List(vec![entries[0].1; 2]));
    }

    #[test]
    fn a_tuple_that_is_doubled_again_and_again_takes_no_memory() {
        let mut stream = b"\x80\x02)".to_vec();
        for _ in 0..10_000 {
            stream.extend(b"q\x00h\x00\x86");
        }
        stream.push(b'.');
        let (graph, _) = Graph::parse(&stream).expect("a valid stream");
        assert_eq!(graph.values.len(), 10_001);
    }

    #[test]
    fn numbers_of_any_length_are_read() {
        for (bytes, value) in [(&b""[..], 0), (b"\xff", -1), (b"\x00\x01", 256), (b"\xff\x7f", 32767)] {
            assert_eq!(long(bytes), Value::Int(value));
        }
        assert_eq!(long(&[1; 9]), Value::Other);
    }

    #[test]
    fn damaged_streams_are_errors() {
        for stream in [
            &b""[..],
            b".",
            b"t.",
            b"(K",
            b"K\x01a.",
            b")K\x01s.",
            b"h\x07.",
            b"\xff",
            b"X\xff\xff\xff\xffa",
            b"cos",
        ] {
            assert!(Graph::parse(stream).is_err(), "{stream:?}");
        }
    }
}
