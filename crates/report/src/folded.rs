//! Folded stacks: `main;make;fill 880000`, one line per stack, outermost frame first.
//!
//! The input of flame graph programs. `;` separates frames, so one in a name becomes `:`. The same
//! line may come twice (two addresses of one function): readers add such lines up.
//! Cost: memory is that of one stack.

use crate::place::{MAX_FRAMES, frame_name};
use crate::sanitize::clean;
use crate::sites::Metric;
use heapwise_model::{Report, StackId};
use std::io::{self, Write};

/// What the numbers are.
#[derive(Clone, Copy, Debug)]
pub struct FoldedOptions {
    /// Stacks where it is 0 are left out.
    pub metric: Metric,
}

impl Default for FoldedOptions {
    fn default() -> Self {
        FoldedOptions { metric: Metric::Peak }
    }
}

/// Writes one line per stack.
pub fn write(out: &mut dyn Write, report: &Report, options: &FoldedOptions) -> io::Result<()> {
    for cost in &report.costs {
        let value = options.metric.of(cost);
        if value > 0 {
            writeln!(out, "{} {value}", line(report, cost.stack))?;
        }
    }
    Ok(())
}

fn line(report: &Report, stack: StackId) -> String {
    let mut names: Vec<String> = report
        .resolved(stack)
        .take(MAX_FRAMES)
        .map(|frame| clean(&frame_name(frame)).replace(';', ":"))
        .collect();
    if names.is_empty() {
        return "[unknown]".to_owned();
    }
    names.reverse();
    names.join(";")
}
