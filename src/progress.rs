//! Progress: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Interval between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of work with a known total.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    started: Instant,
    start_at: u64,
    last_line: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// `total` units of work, of which `done` are already done. With `is_quiet` nothing is shown.
    pub fn new(label: &str, unit: &'static str, total: u64, done: u64, is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal && !is_quiet {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style(unit));
        bar.set_prefix(label.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        // With `is_quiet` no lines are written either: the next one is due in the far future.
        let last_line = is_quiet.then(|| Instant::now() + Duration::from_secs(u64::from(u32::MAX)));
        Self { bar, unit, started: Instant::now(), start_at: done, last_line, is_terminal }
    }

    /// `done` units are done; `message` shows metrics. The last rollout may exceed the total; the bar does not.
    pub fn update(&mut self, done: u64, message: String) {
        let done = self.bar.length().map_or(done, |total| done.min(total));
        self.bar.set_position(done);
        if self.is_terminal {
            self.bar.set_message(message);
        } else if self.last_line.is_none_or(|last| last <= Instant::now()) {
            self.last_line = Some(Instant::now() + LINE_EVERY);
            eprintln!("{}", self.line(done, &message));
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, done: u64, message: &str) -> String {
        let total = self.bar.length().unwrap_or(done);
        let share = 100.0 * done as f64 / total.max(1) as f64;
        let per_sec =
            (done - self.start_at.min(done)) as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let left_secs = (total - done.min(total)) as f64 / per_sec.max(1e-9);
        let eta = if left_secs < 1e7 { Duration::from_secs_f64(left_secs) } else { Duration::ZERO };
        format!(
            "{}  {} of {} {} ({share:.0}%)  {}/s  ETA {}  {message}",
            self.bar.prefix(),
            HumanCount(done),
            HumanCount(total),
            self.unit,
            HumanCount(per_sec as u64),
            HumanDuration(eta),
        )
    }
}

fn style(unit: &'static str) -> ProgressStyle {
    let template = format!(
        "{{prefix}} {{bar:28.magenta/8}} {{human_pos}}/{{human_len}} {unit}  {{rate}}/s  ETA {{eta}}  {{msg}}"
    );
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        // A failed write to the terminal must not stop training.
        let _ = write!(out, "{}", HumanCount(state.per_sec() as u64));
    };
    match ProgressStyle::with_template(&template) {
        Ok(style) => style.with_key("rate", rate).progress_chars("━╸─"),
        Err(_) => ProgressStyle::default_bar(),
    }
}
