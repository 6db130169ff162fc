//! Tables on stdout.

use crate::agents::evaluate::{GoalSuccess, SuccessRate};
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, ContentArrangement, Table};

/// An empty table, at most as wide as the terminal.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

/// Success per goal before and after training; an arrow points to the goal of the instruction.
pub fn before_and_after(target: Option<&str>, before: &[GoalSuccess], after: &[GoalSuccess]) -> Table {
    let mut table = table(["Goal", "Untrained", "Trained"]);
    for (before, after) in before.iter().zip(after) {
        let arrow = if target == Some(before.goal.as_str()) { "  ← instruction" } else { "" };
        table.add_row([format!("{}{arrow}", before.goal), rate(&before.at_end), rate(&after.at_end)]);
    }
    align_numbers(&mut table);
    table
}

/// Success per goal of one policy: at the end of episodes, and at any time in them.
pub fn success(goals: &[GoalSuccess]) -> Table {
    let mut table = table(["Goal", "At the end", "At any time"]);
    for goal in goals {
        table.add_row([goal.goal.clone(), rate(&goal.at_end), rate(&goal.ever)]);
    }
    align_numbers(&mut table);
    table
}

/// `83.0%  (77.2 to 87.6)`.
fn rate(rate: &SuccessRate) -> String {
    let (low, high) = rate.interval;
    format!("{:.1}%  ({:.1} to {:.1})", rate.rate * 100.0, low * 100.0, high * 100.0)
}

fn align_numbers(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
