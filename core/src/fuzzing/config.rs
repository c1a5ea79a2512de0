//! The body that reads configuration files.

use crate::config::{ConfigErrors, Problem, read};

/// Reads any bytes as a configuration file: nothing panics, every problem lies within the text, and
/// what is accepted keeps its promises.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let variable = |name: &str| match name {
        "HOME" => Some("/home/ann".to_owned()),
        "TOKEN" => Some("s3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    match read("mcp.json", text, &variable) {
        Ok(loaded) => {
            check(text, &loaded.warnings);
            let mut names: Vec<String> = loaded
                .config
                .servers
                .iter()
                .map(|s| s.name.as_str().to_lowercase())
                .collect();
            names.sort();
            names.dedup();
            assert_eq!(
                names.len(),
                loaded.config.servers.len(),
                "names are unique ignoring case"
            );
            assert!(
                names.len() <= loaded.config.limits.servers,
                "the limit holds"
            );
        }
        Err(problems) => {
            assert!(!problems.errors.is_empty(), "a refusal has a reason");
            check(text, &problems.errors);
            check(text, &problems.warnings);
            let ConfigErrors { errors, .. } = &problems;
            let shown = problems.to_string();
            assert!(
                errors.iter().all(|error| shown.contains(&error.message)),
                "all is shown"
            );
        }
    }
}

fn check(text: &str, problems: &[Problem]) {
    let text = text
        .strip_prefix('\u{feff}')
        .unwrap_or(text)
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let mut last = (0, 0);
    for problem in problems {
        let Problem {
            line,
            column,
            message,
            remedy,
            ..
        } = problem;
        let length = line.checked_sub(1).and_then(|index| lines.get(index));
        // The break itself, and the end of the text, are one column past the last character.
        assert!(
            length.is_some_and(|length| (1..=length + 2).contains(column)),
            "{problem}"
        );
        assert!(
            (*line, *column) >= last,
            "problems stand in the order of the file"
        );
        assert!(!message.is_empty() && !remedy.is_empty(), "{problem}");
        assert!(
            !problem.to_string().contains(['\0', '\r', '\u{1b}']),
            "{problem:?}"
        );
        last = (*line, *column);
    }
}
