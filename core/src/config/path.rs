//! Where a value stands in a file, as people write it.

use std::fmt;

/// The way from the top of a file to a value: `mcpServers.files.args[1]`.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// The whole file.
    Top,
    /// A key of an object.
    Key(&'a Self, &'a str),
    /// An element of a list.
    Element(&'a Self, usize),
}

impl<'a> Path<'a> {
    pub(super) const fn key(&'a self, name: &'a str) -> Self {
        Self::Key(self, name)
    }

    pub(super) const fn element(&'a self, index: usize) -> Self {
        Self::Element(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top => Ok(()),
            Self::Element(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, name) if !is_plain(name) => {
                write!(f, "{parent}[\"{}\"]", shown(name))
            }
            Self::Key(Self::Top, name) => f.write_str(&shown(name)),
            Self::Key(parent, name) => write!(f, "{parent}.{}", shown(name)),
        }
    }
}

/// A name fit for a message: on one line, and not endless.
pub(super) fn shown(name: &str) -> String {
    const LENGTH_MAX: usize = 64;
    let mut shown: String = name
        .chars()
        .take(LENGTH_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(LENGTH_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$');
    !name.is_empty() && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_keys_are_quoted() {
        let top = Path::Top;
        let servers = top.key("mcpServers");
        let long = "x".repeat(65);
        assert_eq!(top.key(&long).to_string(), format!("{}…", &long[..64]));
        let dotted = servers.key("a.b\n");
        assert_eq!(
            dotted.key("args").element(1).to_string(),
            r#"mcpServers["a.b\n"].args[1]"#
        );
        assert_eq!(
            servers.key("a-b").key("").to_string(),
            r#"mcpServers.a-b[""]"#
        );
    }
}
