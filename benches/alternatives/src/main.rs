//! Code that this project wrote by hand, beside the crates that could take its place, on the CPU.
//!
//! Each pair runs in turn for several rounds; the table has the medians. ADR 0013 has the results and the decisions.

mod adam;
mod images;
mod layers;
mod products;
mod towers;

use std::time::{Duration, Instant};

/// Rounds of a pair.
const ROUNDS: usize = 7;
/// Length of one measurement.
const WINDOW: Duration = Duration::from_millis(300);

type Work<'a> = Box<dyn FnMut() -> anyhow::Result<()> + 'a>;

fn main() -> anyhow::Result<()> {
    println!("{:<44} {:>12} {:>12} {:>7}  with", "calls per second", "ours", "theirs", "ratio");
    products::compare()?;
    layers::compare()?;
    adam::compare()?;
    towers::compare()?;
    images::compare()
}

/// Prints the calls per second of both, medians of alternating rounds.
fn pair(what: &str, with: &str, mut ours: Work, mut theirs: Work) -> anyhow::Result<()> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(rate(&mut ours)?);
        b.push(rate(&mut theirs)?);
    }
    let (a, b) = (median(a), median(b));
    println!("{what:<44} {a:>12.1} {b:>12.1} {:>7.2}  {with}", a / b);
    Ok(())
}

fn rate(work: &mut Work) -> anyhow::Result<f64> {
    work()?;
    let (started, mut n_calls) = (Instant::now(), 0);
    while n_calls == 0 || started.elapsed() < WINDOW {
        work()?;
        n_calls += 1;
    }
    Ok(f64::from(n_calls) / started.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
