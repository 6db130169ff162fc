//! Tables on stdout.

use crate::agents::evaluate::{GoalSuccess, InstructionSuccess, SuccessRate};
use crate::results::{GoalSummary, InstructionSummary};
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

/// Success per goal before and after training; arrows point to the goals of the instructions.
pub fn before_and_after(goals: &[GoalSummary]) -> Table {
    let mut table = table(["Goal", "Untrained", "Trained"]);
    for goal in goals {
        let arrow = if goal.is_target { "  ← instruction" } else { "" };
        let after = goal.after.as_ref().map_or(String::new(), rate);
        table.add_row([format!("{}{arrow}", goal.goal), rate(&goal.before), after]);
    }
    align_numbers(&mut table);
    table
}

/// Success of each instruction on its own goal before and after training.
pub fn instructions_before_and_after(instructions: &[InstructionSummary]) -> Table {
    let mut table = table(["Instruction", "Untrained", "Trained"]);
    let cell = |of: Option<&SuccessRate>| of.map_or(String::new(), rate);
    for it in instructions {
        let name = sentence(&it.instruction, it.is_held_out);
        table.add_row([name, cell(it.before.as_ref()), cell(it.after.as_ref())]);
    }
    align_numbers(&mut table);
    table
}

/// Success of each instruction on its own goal, of one policy.
pub fn instructions(instructions: &[InstructionSuccess]) -> Table {
    let mut table = table(["Instruction", "Goal", "At the end", "At any time"]);
    for it in instructions {
        let name = sentence(&it.instruction, it.is_held_out);
        table.add_row([name, it.goal.clone(), rate(&it.at_end), rate(&it.ever)]);
    }
    align_numbers(&mut table);
    table
}

fn sentence(instruction: &str, is_held_out: bool) -> String {
    if is_held_out { format!("{instruction}  (held out)") } else { instruction.to_owned() }
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

/// Aligns all columns but the first to the right.
pub fn align_numbers(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
