//! Near misses: the word that was probably meant.

/// The farthest a word may be from the one that was meant, in edits.
const EDITS_MAX: usize = 2;

/// Finds the candidate that `word` most resembles, ignoring case.
///
/// At most two edits (insert, delete, replace, swap of neighbours) may lie between them, and less
/// than half of the letters may change. The first of several equally near candidates wins.
pub(crate) fn near_miss<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word: Vec<char> = word
        .chars()
        .take(128)
        .flat_map(char::to_lowercase)
        .collect();
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if word.len().abs_diff(letters.len()) > EDITS_MAX {
            continue;
        }
        let distance = edits(&word, &letters);
        let few = distance <= EDITS_MAX && distance * 2 < word.len().max(letters.len());
        if few && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance.
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let at =
                |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let mut least = (at(&above, j) + usize::from(x != y))
                .min(at(&above, j + 1) + 1)
                .min(at(&row, j) + 1);
            if let (Some(i), Some(j)) = (i.checked_sub(1), j.checked_sub(1))
                && a.get(i) == Some(&y)
                && b.get(j) == Some(&x)
            {
                least = least.min(at(&before, j) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: [&str; 5] = ["command", "args", "env", "url", "maxQueue"];

    #[test]
    fn slips_of_the_pen_find_their_word() {
        for (slip, meant) in [
            ("comand", "command"),
            ("Command", "command"),
            ("cmmandd", "command"),
            ("agrs", "args"),
            ("ENV", "env"),
            ("envs", "env"),
            ("ulr", "url"),
            ("maxqueu", "maxQueue"),
        ] {
            assert_eq!(near_miss(slip, WORDS), Some(meant), "{slip}");
        }
    }

    #[test]
    fn other_words_find_nothing() {
        for word in [
            "tags",
            "cmd",
            "uri2",
            "",
            "e",
            "commanderies",
            "max",
            "ärgsten",
        ] {
            assert_eq!(near_miss(word, WORDS), None, "{word}");
        }
    }
}
