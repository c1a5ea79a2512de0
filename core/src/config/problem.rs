//! What is wrong with a file, where, and what to do about it.

use std::{error::Error, fmt};

use super::path::Path;

/// One thing that is wrong with a configuration file, or looks so.
///
/// Messages never repeat the values of `env`, `headers`, `args` or `url`, which may be secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The name of the file, as the caller gave it.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters.
    pub column: usize,
    /// The path of the key: `mcpServers.files.args[1]`. Empty where the file as a whole is meant.
    pub key: String,
    /// What was found, and what is allowed.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}\n  hint: {}", self.message, self.remedy)
    }
}

/// All that is wrong with a configuration file.
///
/// Displayed, it is every error and then every warning, the latter marked as such.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    /// Why the file cannot be used, in the order of the file; never empty.
    pub errors: Vec<Problem>,
    /// What looks wrong beside that, in the order of the file.
    pub warnings: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for error in &self.errors {
            write!(f, "{separator}{error}")?;
            separator = "\n";
        }
        for warning in &self.warnings {
            write!(f, "{separator}warning: {warning}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl Error for ConfigErrors {}

/// Problems as they are found, by offset.
#[derive(Default)]
pub(super) struct Report {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

struct Finding {
    offset: usize,
    key: String,
    message: String,
    remedy: String,
}

impl Report {
    /// Notes an error at a byte offset of the text.
    pub(super) fn error(
        &mut self,
        offset: usize,
        path: &Path<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.errors
            .push(Finding::new(offset, path, message.into(), remedy.into()));
    }

    /// Notes a warning at a byte offset of the text.
    pub(super) fn warning(
        &mut self,
        offset: usize,
        path: &Path<'_>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.warnings
            .push(Finding::new(offset, path, message.into(), remedy.into()));
    }

    /// Whether there was an error so far.
    pub(super) const fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Turns offsets into lines and columns: the errors, and the warnings.
    pub(super) fn into_problems(self, file: &str, text: &str) -> (Vec<Problem>, Vec<Problem>) {
        (
            locate(file, text, self.errors),
            locate(file, text, self.warnings),
        )
    }
}

impl Finding {
    fn new(offset: usize, path: &Path<'_>, message: String, remedy: String) -> Self {
        Self {
            offset,
            key: path.to_string(),
            message,
            remedy,
        }
    }
}

fn locate(file: &str, text: &str, mut findings: Vec<Finding>) -> Vec<Problem> {
    findings.sort_by_key(|finding| finding.offset);
    let mut place = Place::START;
    let mut problems = Vec::with_capacity(findings.len());
    for Finding {
        offset,
        key,
        message,
        remedy,
    } in findings
    {
        place.advance(text, offset);
        let Place { line, column, .. } = place;
        problems.push(Problem {
            file: file.to_owned(),
            line,
            column,
            key,
            message,
            remedy,
        });
    }
    problems
}

#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    line: usize,
    column: usize,
}

impl Place {
    const START: Self = Self {
        offset: 0,
        line: 1,
        column: 1,
    };

    /// Walks on to `offset`: over all problems of a file, the text is walked once.
    fn advance(&mut self, text: &str, offset: usize) {
        let mut rest = text
            .get(self.offset..)
            .unwrap_or_default()
            .chars()
            .peekable();
        while self.offset < offset
            && let Some(c) = rest.next()
        {
            self.offset += c.len_utf8();
            if c == '\n' || (c == '\r' && rest.peek() != Some(&'\n')) {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_end_in_any_way() {
        let text = "añb\r\ncd\rz\n\nq";
        let at = |needle: char| {
            let mut place = Place::START;
            place.advance(text, text.find(needle).unwrap());
            (place.line, place.column)
        };
        assert_eq!(
            ['a', 'b', 'd', 'z', 'q'].map(at),
            [(1, 1), (1, 3), (2, 2), (3, 1), (5, 1)]
        );
    }
}
