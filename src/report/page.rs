//! The HTML of the report.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sayso_agents::evaluate::SuccessRate;

use super::charts::{Chart, Series, percent, short_value};
use super::{Clip, GoalRow, Report, ScoredFrame};
use crate::error::Result;
use crate::metrics::MetricsRow;
use crate::results::InstructionSummary;

const STYLE: &str = include_str!("style.css");
pub(super) const WIDE: (u32, u32) = (560, 280);
const SMALL: (u32, u32) = (360, 180);
const ACCENT: (u8, u8, u8) = (124, 92, 255);
/// Colours of goals whose name contains no colour.
pub(super) const PALETTE: [(u8, u8, u8); 5] =
    [(124, 92, 255), (14, 165, 164), (232, 121, 32), (214, 64, 159), (90, 120, 150)];
/// Colours of goals whose name contains a colour.
const NAMED: [(&str, (u8, u8, u8)); 6] = [
    ("red", (229, 72, 77)),
    ("green", (48, 164, 108)),
    ("blue", (62, 110, 235)),
    ("yellow", (214, 165, 20)),
    ("orange", (240, 120, 30)),
    ("purple", (142, 78, 198)),
];

/// The report as one HTML document.
///
/// # Errors
/// If a chart cannot be plotted.
pub fn render(report: &Report) -> Result<String> {
    let body = html! {
        (header(report))
        (videos(&report.videos))
        (training(report)?)
        (success_table(report))
        (instruction_table(report))
        (frames(&report.frames))
        (losses(&report.rows)?)
        (appendix(report))
    };
    Ok(document(&format!("Sayso · {} · {}", report.env_id, report.title), &body))
}

/// A page with its style sheet.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
                footer { "Sayso " (env!("CARGO_PKG_VERSION")) ". This file has no external resources." }
            }
        }
    };
    page.into_string()
}

fn header(report: &Report) -> Markup {
    let has_several = 1 < report.instructions.len();
    html! {
        header {
            p.eyebrow { "Sayso run report · " (report.env_id) @if !has_several { " · goal prompt" } }
            h1 { @if has_several { (report.title) } @else { "“" (report.title) "”" } }
            @if let Some((before, after, what)) = headline(report) {
                p.headline {
                    span.from { (percent(before)) }
                    span.arrow { "→" }
                    span.to { (percent(after)) }
                    span.what { (what) " before and after training" }
                }
            }
            dl.facts {
                @for (label, value) in &report.facts {
                    div { dt { (label) } dd { (value) } }
                }
            }
            p.lead { (reward_note(report)) }
        }
    }
}

/// Success before and after training, and on what.
fn headline(report: &Report) -> Option<(f64, f64, Markup)> {
    if 1 < report.instructions.len() {
        let total = |rate_of: &dyn Fn(&InstructionSummary) -> Option<SuccessRate>| {
            SuccessRate::sum(report.instructions.iter().filter_map(rate_of)).map(|total| total.rate)
        };
        let what = html! { "ground-truth success rate on the goal of the instruction" };
        return Some((total(&|row| row.before)?, total(&|row| row.after)?, what));
    }
    let target = report.goals.iter().find(|goal| goal.is_target)?;
    let what = html! { "ground-truth success rate for " strong { (target.goal) } };
    Some((target.before?.rate, target.after?.rate, what))
}

/// What the reward is, and what ground truth has to do with it.
fn reward_note(report: &Report) -> &'static str {
    match (report.has_reward_model, report.is_bundled_model) {
        (false, _) => "The reward is the task's ground-truth reward, not a reward model.",
        (true, true) => {
            "Rewards are scores of rendered frames by the bundled model: a learned success detector with a language interface, \
             trained with this simulator's ground truth on scenes and captions of its tasks. It reads frames and text only. \
             Ground truth on this page is measured beside the reward."
        }
        (true, false) => {
            "Rewards are scores of rendered frames by the reward model, which reads frames and text only. Ground truth on this \
             page is measured beside the reward."
        }
    }
}

fn videos(clips: &[Clip]) -> Markup {
    html! {
        @if !clips.is_empty() {
            section {
                h2 { "Videos" }
                p.lead { "View of the video camera. With a reward model, the frames of the reward cameras are beside it, enlarged." }
                div.clips {
                    @for clip in clips {
                        figure {
                            video controls autoplay loop muted playsinline
                                src={ "data:video/mp4;base64," (BASE64.encode(&clip.mp4)) } {}
                            figcaption { strong { (clip.title) } " " (clip.note) }
                        }
                    }
                }
            }
        }
    }
}

fn training(report: &Report) -> Result<Markup> {
    let reward = Chart {
        size: WIDE,
        series: vec![series(&report.rows, "rollout/ep_rew_mean", "episode return", ACCENT)],
        ..Chart::default()
    };
    let curves = report.goals.iter().enumerate().map(|(idx, goal)| {
        let tag = format!("rollout/success_rate/{}", goal.goal);
        series(&report.rows, &tag, &goal.goal, goal_colour(&goal.goal, idx))
    });
    let own = (1 < report.instructions.len())
        .then(|| series(&report.rows, "rollout/success_rate", "the instruction's", ACCENT));
    let curves = own.into_iter().chain(curves);
    let reward_title = if report.has_reward_model { "Reward-model return" } else { "Ground-truth return" };
    let success = Chart { size: WIDE, y_range: Some((0.0, 1.0)), is_share: true, series: curves.collect() };
    Ok(html! {
        section {
            h2 { "Training curves" }
            p.lead {
                "Episode return and ground-truth success rate during training. The policy is updated with the reward only."
            }
            div.pair {
                (figure(reward_title, "mean episode return over environment steps", &reward)?)
                (figure("Ground-truth success rate", "fraction of episodes that end in success", &success)?)
            }
        }
    })
}

fn losses(rows: &[MetricsRow]) -> Result<Markup> {
    let mut tags: Vec<&str> = Vec::new();
    for (tag, _) in rows.iter().flat_map(|row| &row.values) {
        if tag.starts_with("train/") && !tags.contains(&tag.as_str()) {
            tags.push(tag);
        }
    }
    let charts = tags.iter().enumerate().map(|(idx, tag)| {
        let name = tag.trim_start_matches("train/").replace('_', " ");
        let series = series(rows, tag, &name, PALETTE[idx % PALETTE.len()]);
        figure(&name, "", &Chart { size: SMALL, series: vec![series], ..Chart::default() })
    });
    let charts: Vec<Markup> = charts.collect::<Result<_>>()?;
    Ok(html! {
        @if !charts.is_empty() {
            section {
                h2 { "Learner metrics" }
                div.small-multiples { @for chart in charts { (chart) } }
            }
        }
    })
}

pub(super) fn figure(title: &str, note: &str, chart: &Chart) -> Result<Markup> {
    let format = if chart.is_share { percent } else { short_value };
    let svg = chart.to_svg()?;
    Ok(html! {
        figure.chart {
            figcaption {
                strong { (title) }
                @if !note.is_empty() { span.note { (note) } }
            }
            (PreEscaped(scalable(&svg, chart.size)))
            ul.legend {
                @for series in &chart.series {
                    @let (r, g, b) = series.colour;
                    li {
                        i style={ "background:rgb(" (r) "," (g) "," (b) ")" } {}
                        (series.name)
                        @if let Some(last) = series.last() { " " b { (format(last)) } }
                    }
                }
            }
        }
    })
}

/// Removes the fixed size, so that the chart scales with the page; the view box stays.
fn scalable(svg: &str, size: (u32, u32)) -> String {
    svg.replacen(&format!("width=\"{}\" height=\"{}\" ", size.0, size.1), "", 1)
}

fn success_table(report: &Report) -> Markup {
    let goals = &report.goals;
    html! {
        @if !goals.is_empty() {
            section {
                h2 { "Ground-truth success rate" }
                p.lead {
                    "Fraction of evaluation episodes that end in success, with 95% Wilson confidence intervals."
                    @if 1 < report.instructions.len() { " Of all episodes, whatever their instruction." }
                }
                div.scroll {
                    table {
                        thead { tr { th { "Goal" } th { "Untrained" } th { "Trained" } th.wide {} } }
                        tbody {
                            @for (idx, goal) in goals.iter().enumerate() {
                                tr.target[goal.is_target] {
                                    th scope="row" {
                                        (dot(&goal.goal, idx)) (goal.goal)
                                        @if goal.is_target { span.badge { "instruction" } }
                                    }
                                    td { (rate(goal.before.as_ref())) }
                                    td { (rate(goal.after.as_ref())) }
                                    td.wide { (interval_bar(goal, idx)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn instruction_table(report: &Report) -> Markup {
    let rows = &report.instructions;
    let idx_of = |goal: &str| report.goals.iter().position(|row| row.goal == goal).unwrap_or(0);
    html! {
        @if 1 < rows.len() {
            section {
                h2 { "Success by instruction" }
                p.lead {
                    "Fraction of the evaluation episodes with an instruction that end with the goal of that instruction met."
                }
                div.scroll {
                    table {
                        thead { tr { th { "Instruction" } th { "Goal" } th { "Untrained" } th { "Trained" } } }
                        tbody {
                            @for row in rows {
                                tr {
                                    th scope="row" {
                                        (row.instruction)
                                        @if row.is_held_out { span.badge { "held out" } }
                                    }
                                    td { (dot(&row.goal, idx_of(&row.goal))) (row.goal) }
                                    td { (rate(row.before.as_ref())) }
                                    td { (rate(row.after.as_ref())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rate(rate: Option<&SuccessRate>) -> Markup {
    html! {
        @match rate {
            Some(rate) => {
                b { (percent(rate.rate)) }
                span.interval { (percent(rate.interval.0)) "–" (percent(rate.interval.1)) " of " (rate.n_episodes) }
            }
            None => span.interval { "not measured" },
        }
    }
}

fn interval_bar(goal: &GoalRow, idx: usize) -> Markup {
    let (r, g, b) = goal_colour(&goal.goal, idx);
    let colour = format!("--bar:rgb({r},{g},{b})");
    html! {
        div.bars style=(colour) {
            @for (class, rate) in [("before", &goal.before), ("after", &goal.after)] {
                @if let Some(rate) = rate {
                    @let (low, high) = rate.interval;
                    div class={ "bar " (class) } {
                        i.fill style={ "width:" (rate.rate * 100.0) "%" } {}
                        i.span style={ "left:" (low * 100.0) "%;width:" ((high - low) * 100.0) "%" } {}
                    }
                }
            }
        }
    }
}

fn frames(frames: &[ScoredFrame]) -> Markup {
    html! {
        @if !frames.is_empty() {
            section {
                h2 { "Scored frames" }
                p.lead { "Steps of the trained policy from the lowest reward to the highest, with ground-truth success." }
                div.frames {
                    @for frame in frames {
                        figure.frame {
                            img alt={ "a frame with score " (short_value(frame.score)) }
                                src={ "data:image/png;base64," (BASE64.encode(&frame.png)) };
                            figcaption {
                                b { (short_value(frame.score)) }
                                @match frame.success {
                                    Some(true) => span.outcome.yes { "goal met" },
                                    Some(false) => span.outcome.no { "not met" },
                                    None => {}
                                }
                                span.note { (frame.note) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn appendix(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Reproduction" }
            pre { code { (report.commands.join("\n")) } }
            div.pair {
                details open {
                    summary { "Machine" }
                    dl.rows {
                        @for (label, value) in &report.machine { div { dt { (label) } dd { (value) } } }
                    }
                }
                details open {
                    summary { "Configuration" }
                    pre { code { (report.config_toml) } }
                }
            }
        }
    }
}

fn series(rows: &[MetricsRow], tag: &str, name: &str, colour: (u8, u8, u8)) -> Series {
    let points = rows.iter().filter_map(|row| Some((row.step as f64, row.get(tag)?))).collect();
    Series {
        name: name.to_owned(),
        colour,
        points,
        is_exact: tag == "train/learning_rate",
        ..Series::default()
    }
}

fn dot(goal: &str, idx: usize) -> Markup {
    let (r, g, b) = goal_colour(goal, idx);
    html! { i.dot style={ "background:rgb(" (r) "," (g) "," (b) ")" } {} }
}

fn goal_colour(goal: &str, idx: usize) -> (u8, u8, u8) {
    let named =
        NAMED.iter().find(|(word, _)| goal.split(|c: char| !c.is_alphabetic()).any(|part| part == *word));
    named.map_or(PALETTE[idx % PALETTE.len()], |(_, colour)| *colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_a_goal_is_not_labelled_not_met() {
        let frame =
            |success| ScoredFrame { png: Vec::new(), score: 0.5, note: "episode 1".to_owned(), success };
        for (success, expected) in [(Some(true), "goal met"), (Some(false), "not met"), (None, "")] {
            let page = frames(&[frame(success)]).into_string();
            for label in ["goal met", "not met"] {
                assert_eq!(page.contains(label), label == expected, "{success:?}: {page}");
            }
        }
    }
}
