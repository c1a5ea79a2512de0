//! Data to standard output, everything else to standard error.

pub(crate) mod table;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// Colours; stripped where there is no terminal or `NO_COLOR` is set.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};

    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
    pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
    pub(crate) const STRONG: Style = Style::new().bold();
    pub(crate) const PLAIN: Style = Style::new();
}

/// Writes data, and flushes it.
///
/// # Errors
/// Where standard output is closed or full.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes data that is to arrive byte for byte.
///
/// # Errors
/// Where standard output is closed or full.
pub(crate) fn print_raw(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a line for people. Where nobody reads it, nothing is lost.
pub(crate) fn note(line: &str) {
    let _nobody_reads = writeln!(anstream::stderr(), "{line}").is_err();
}

/// Says what looks wrong.
pub(crate) fn warn(message: &str) {
    let warning = style::WARNING;
    note(&format!("{warning}warning{warning:#}: {}", plain(message)));
}

/// Whether people see standard output directly.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// The text without control characters, which a server could play tricks on a terminal with.
/// Line feeds and tabs stay.
pub(crate) fn plain(text: &str) -> String {
    let tame = |c: char| {
        if c.is_control() && c != '\n' && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.replace("\r\n", "\n").chars().map(tame).collect()
}

/// A span in the unit that suits it.
pub(crate) fn span(span: Duration) -> String {
    let micros = span.as_secs_f64() * 1e6;
    let (value, unit) = if micros < 1e3 {
        (micros, "µs")
    } else if micros < 1e6 {
        (micros / 1e3, "ms")
    } else {
        (micros / 1e6, "s")
    };
    // Three digits are as much as a reader takes in, and a whole number needs no more.
    let digits = if value >= 100.0 || value.fract() == 0.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {unit}")
}

/// `1 tool`, `2 tools`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(
            plain("a\u{1b}[2Jb\r\nc\td\u{9b}"),
            "a\u{fffd}[2Jb\nc\td\u{fffd}"
        );
    }

    #[test]
    fn spans_have_three_digits() {
        for (micros, text) in [
            (0, "0 µs"),
            (950, "950 µs"),
            (1_500, "1.50 ms"),
            (12_340, "12.3 ms"),
            (123_456, "123 ms"),
            (60_000_000, "60 s"),
        ] {
            assert_eq!(span(Duration::from_micros(micros)), text);
        }
    }
}
