//! The metrics log: one JSON object per line, with `step`, `time/elapsed_secs` and a key for each tag.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

const STEP: &str = "step";
const ELAPSED: &str = "time/elapsed_secs";

/// Metrics of one update. Tags have the prefixes of Stable-Baselines3: `rollout/…`, `train/…`, `time/…`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetricsRow {
    /// Environment steps so far, over all envs.
    pub step: u64,
    /// Wall time of training so far in seconds, earlier sessions included.
    pub elapsed_secs: f64,
    /// Tag and value; a log that is read back has them in alphabetical order.
    pub values: Vec<(String, f64)>,
}

impl MetricsRow {
    /// The row as one line of JSON, newline included. A value that is not finite becomes `null`.
    pub fn to_line(&self) -> String {
        let mut map = Map::new();
        map.insert(STEP.into(), self.step.into());
        map.insert(ELAPSED.into(), number(self.elapsed_secs));
        for (tag, value) in &self.values {
            map.insert(tag.clone(), number(*value));
        }
        let mut line = Value::Object(map).to_string();
        line.push('\n');
        line
    }

    /// The value of a tag; `None` if it was not logged or not finite.
    pub fn get(&self, tag: &str) -> Option<f64> {
        self.values.iter().find(|(known, _)| known == tag).map(|(_, value)| *value).filter(|v| v.is_finite())
    }

    fn from_line(line: &str) -> Option<Self> {
        let map: Map<String, Value> = serde_json::from_str(line).ok()?;
        let values = map.iter().filter(|(tag, _)| ![STEP, ELAPSED].contains(&tag.as_str()));
        Some(Self {
            step: map.get(STEP)?.as_u64()?,
            elapsed_secs: map.get(ELAPSED).and_then(Value::as_f64).unwrap_or(f64::NAN),
            values: values.map(|(tag, value)| (tag.clone(), value.as_f64().unwrap_or(f64::NAN))).collect(),
        })
    }
}

/// Reads a metrics log. A truncated last line, as a full disk leaves it, is skipped; a missing file is an empty log.
///
/// # Errors
/// If the file cannot be read, or a line other than the last is damaged.
pub fn read(path: &Path) -> Result<Vec<MetricsRow>> {
    Ok(rows(path, &read_text(path)?)?.into_iter().map(|(row, _)| row).collect())
}

/// The lines of a metrics log up to `step`, as they were written.
///
/// # Errors
/// As [`read`].
pub fn lines_up_to(path: &Path, step: u64) -> Result<String> {
    let text = read_text(path)?;
    let kept = rows(path, &text)?.into_iter().filter(|(row, _)| row.step <= step);
    Ok(kept.map(|(_, line)| format!("{line}\n")).collect())
}

fn read_text(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(err) => Err(Error::file("read", path)(err)),
    }
}

fn rows<'a>(path: &Path, text: &'a str) -> Result<Vec<(MetricsRow, &'a str)>> {
    let lines: Vec<&str> = text.lines().collect();
    let mut rows = Vec::with_capacity(lines.len());
    for (idx, line) in lines.iter().enumerate() {
        match MetricsRow::from_line(line) {
            Some(row) => rows.push((row, *line)),
            None if idx + 1 == lines.len() => {}
            None => {
                let reason = std::io::Error::other(format!("line {} is damaged", idx + 1));
                return Err(Error::file("read", path)(reason));
            }
        }
    }
    Ok(rows)
}

fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_last_line_is_skipped() {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        let row = |step| MetricsRow { step, elapsed_secs: 0.5, values: vec![("train/loss".into(), 0.25)] };
        let text = format!("{}{}{{\"step\":30,\"tr", row(10).to_line(), row(20).to_line());
        fs::write(file.path(), text).expect("writes");
        assert_eq!(read(file.path()).expect("reads"), [row(10), row(20)]);
    }

    #[test]
    fn a_value_that_is_not_finite_is_logged_as_null() {
        let row = MetricsRow { step: 1, elapsed_secs: 0.0, values: vec![("train/loss".into(), f64::NAN)] };
        assert!(row.to_line().contains("\"train/loss\":null"));
        assert_eq!(row.get("train/loss"), None);
    }
}
