//! How far a call has come, for who waits for it.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcp_fleet_driver::Progress;

use crate::output;

/// Between two turns of the spinner.
const TICK: Duration = Duration::from_millis(100);

/// One line on the terminal that holds the latest report, from the first one until it is dropped.
/// Where standard error is no terminal, reports are logged only.
#[derive(Debug, Default)]
pub(crate) struct ProgressLine(Option<ProgressBar>);

impl ProgressLine {
    pub(crate) fn show(&mut self, progress: &Progress) {
        let line = describe(progress);
        tracing::info!("progress: {line}");
        if io::stderr().is_terminal() {
            self.0.get_or_insert_with(spinner).set_message(line);
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(TICK);
    spinner
}

/// `3/10 (30 %): indexing`, in one line.
fn describe(progress: &Progress) -> String {
    let Progress {
        progress: done,
        total,
        message,
    } = progress;
    let mut line = match total {
        Some(total) if *total > 0.0 => {
            let percent = (done / total * 100.0).clamp(0.0, 100.0);
            format!("{done}/{total} ({percent:.0} %)")
        }
        Some(_) | None => done.to_string(),
    };
    let message = output::plain(message.as_deref().unwrap_or_default());
    let words: Vec<&str> = message.split_whitespace().collect();
    if !words.is_empty() {
        line.push_str(": ");
        line.push_str(&words.join(" "));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_harmless_line() {
        for (progress, total, message, line) in [
            (3.0, Some(10.0), Some("indexing"), "3/10 (30 %): indexing"),
            (12.0, Some(10.0), None, "12/10 (100 %)"),
            (0.5, None, Some("a\n\tb\u{1b}[2J"), "0.5: a b\u{fffd}[2J"),
            (1.0, Some(0.0), Some(" "), "1"),
        ] {
            let progress = Progress {
                progress,
                total,
                message: message.map(str::to_owned),
            };
            assert_eq!(describe(&progress), line);
        }
    }
}
