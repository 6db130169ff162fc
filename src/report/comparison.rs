//! The HTML of a comparison of runs.

use maud::{Markup, html};

use super::charts::{Chart, Series, percent, short_count};
use super::page::{PALETTE, WIDE, document, figure};
use crate::compare::{Aggregate, Group};
use crate::error::Result;

/// The comparison as one HTML document.
///
/// # Errors
/// If a chart cannot be plotted.
pub fn render_comparison(env_id: &str, groups: &[Group]) -> Result<String> {
    let title = match groups {
        [only] => format!("{} runs in {env_id}", only.runs.len()),
        groups => format!("{} configurations in {env_id}", groups.len()),
    };
    let over_steps = curves(groups);
    let body = html! {
        header {
            p.eyebrow { "Sayso comparison · " (env_id) }
            h1 { (title) }
            p.lead {
                "Runs that differ in seed and instruction alone are one group. Values are interquartile means over its runs; \
                 intervals are 95% bootstrap intervals, resampled within each instruction. Success is ground truth at the end of \
                 evaluation episodes."
            }
        }
        (summary(groups))
        section {
            h2 { "Training curves" }
            p.lead { "Success of the training episodes on the goal of the instruction, with 95% intervals." }
            (figure("Ground-truth success rate", "over environment steps", &over_steps)?)
        }
        (runs(groups))
    };
    Ok(document(&format!("Sayso · {title}"), &body))
}

fn curves(groups: &[Group]) -> Chart {
    let series = groups.iter().enumerate().map(|(idx, group)| {
        let points = group.curve.iter().map(|point| (point.step, point.value.iqm)).collect();
        let band = group.curve.iter().filter_map(|point| Some((point.step, point.value.interval?))).collect();
        Series {
            name: group.name.clone(),
            colour: PALETTE[idx % PALETTE.len()],
            points,
            is_exact: true,
            band,
        }
    });
    Chart { size: WIDE, y_range: Some((0.0, 1.0)), is_share: true, series: series.collect() }
}

fn summary(groups: &[Group]) -> Markup {
    html! {
        section {
            h2 { "Results" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "Configuration" } th { "Runs" } th { "Success" } th { "Least" }
                            th { "Another goal, most" } th { "Steps" } th { "Training time" }
                        }
                    }
                    tbody {
                        @for (idx, group) in groups.iter().enumerate() {
                            @let (r, g, b) = PALETTE[idx % PALETTE.len()];
                            tr {
                                th scope="row" {
                                    i.dot style={ "background:rgb(" (r) "," (g) "," (b) ")" } {} (group.name)
                                }
                                td { (group.runs.len()) }
                                td { (share(&group.success)) }
                                td { (percent(group.success.min)) }
                                td { @if let Some(other) = &group.other_success { (percent(other.max)) } }
                                td { (short_count(group.n_steps as f64)) }
                                td { (format!("{:.0} s", group.training_secs.median)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn share(value: &Aggregate) -> Markup {
    html! {
        b { (percent(value.iqm)) }
        @if let Some((low, high)) = value.interval {
            span.interval { (percent(low)) "–" (percent(high)) }
        }
    }
}

fn runs(groups: &[Group]) -> Markup {
    html! {
        section {
            h2 { "Runs" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "Run" } th { "Configuration" } th { "Instruction" } th { "Seed" } th { "Success" }
                            th { "Another goal" } th { "Training time" }
                        }
                    }
                    tbody {
                        @for group in groups {
                            @for run in &group.runs {
                                tr {
                                    th scope="row" { (run.root.display()) }
                                    td { (group.name) }
                                    td { (run.title) }
                                    td { (run.seed) }
                                    td { (percent(run.success)) }
                                    td { @if let Some(other) = run.other_success { (percent(other)) } }
                                    td { (format!("{:.0} s", run.training_secs)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
