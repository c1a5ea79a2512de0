//! Columns of text.

use std::io;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{plain, style};

const GAP: &str = "  ";
/// Below this a shortened column says nothing.
const SHORTENED_MIN: usize = 16;

/// Rows under a header, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// A title that begins with `>` is of a column of numbers.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, right: true },
            None => Column {
                title,
                right: false,
            },
        };
        Self {
            columns: titles.iter().map(column).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. Cells become one line each.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let one_line = |cell: String| plain(&cell).replace(['\n', '\t'], " ");
        self.rows.push(cells.into_iter().map(one_line).collect());
    }

    /// The whole table. Where a width is given, the last column is shortened to fit it.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let titles = self.columns.iter().map(|column| column.title);
        let strong = style::STRONG;
        let mut text = format!("{strong}{}{strong:#}\n", self.line(titles, &widths));
        for row in &self.rows {
            text.push_str(&self.line(row.iter().map(String::as_str), &widths));
            text.push('\n');
        }
        text
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .map(|column| column.title.width())
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some(available) = available
            && let Some((last, others)) = widths.split_last_mut()
        {
            let taken: usize = others.iter().map(|width| width + GAP.len()).sum();
            *last = (*last).min(available.saturating_sub(taken).max(SHORTENED_MIN));
        }
        widths
    }

    fn line<'a>(&self, cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, column), width) in cells.zip(&self.columns).zip(widths) {
            let cell = shortened(cell, *width);
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            if column.right {
                line.push_str(&padding);
                line.push_str(&cell);
            } else {
                line.push_str(&cell);
                line.push_str(&padding);
            }
            line.push_str(GAP);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// The columns of the terminal on standard output, if it is one.
pub(crate) fn terminal_width() -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(columns.into())
}

fn shortened(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let mut text = String::new();
    let mut taken = 1;
    for c in cell.chars() {
        taken += c.width().unwrap_or(0);
        if taken > width {
            break;
        }
        text.push(c);
    }
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(width: Option<usize>) -> String {
        let mut table = Table::new(&["NAME", ">CALLS", "DESCRIPTION"]);
        table.row([
            "files".into(),
            "1".into(),
            "reads\nfiles of the whole world".into(),
        ]);
        table.row(["天気".into(), "12345".into(), String::new()]);
        anstream::adapter::strip_str(&table.render(width)).to_string()
    }

    #[test]
    fn columns_line_up() {
        let expected = "\
NAME   CALLS  DESCRIPTION
files      1  reads files of the whole world
天気   12345
";
        assert_eq!(rendered(None), expected);
    }

    #[test]
    fn the_last_column_is_shortened() {
        let expected = "\
NAME   CALLS  DESCRIPTION
files      1  reads files of …
天気   12345
";
        assert_eq!(rendered(Some(30)), expected);
        assert_eq!(rendered(Some(10)), expected);
    }
}
