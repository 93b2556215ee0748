//! `did you mean`: the nearest of the words that were possible, by edit distance.

/// Words longer than this are not compared: nobody meant them, and the comparison is quadratic.
const LONGEST: usize = 64;

/// The possible word nearest to the one found, if it is near enough to have been meant.
///
/// Near enough: equal but for case, or at most a third of its characters changed, added, left out or swapped
/// with their neighbour (at least one, at most three).
pub fn suggest<'a>(found: &str, possible: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found: Vec<char> = found.to_lowercase().chars().take(LONGEST + 1).collect();
    if found.is_empty() || found.len() > LONGEST {
        return None;
    }
    let limit = (found.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for word in possible {
        let chars: Vec<char> = word.to_lowercase().chars().collect();
        if chars.len().abs_diff(found.len()) > limit {
            continue;
        }
        let distance = distance(&found, &chars);
        // A word of one or two characters is near to every other one of them.
        let meant = distance <= limit && distance < found.len().min(chars.len());
        if meant && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, word));
        }
    }
    best.map(|(_, word)| word)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (above[j] + usize::from(x != y)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let keys = ["name", "run", "uses", "with", "env", "runs-on", "timeout-minutes", "needs", "if"];
        for (found, wanted) in [
            ("rnu", Some("run")),
            ("runs_on", Some("runs-on")),
            ("run-on", Some("runs-on")),
            ("RUN", Some("run")),
            ("time-out-minutes", Some("timeout-minutes")),
            ("need", Some("needs")),
            ("wiht", Some("with")),
            ("container", None),
            ("x", None),
            ("", None),
            ("on", None),
        ] {
            assert_eq!(suggest(found, keys), wanted, "{found}");
        }
        assert_eq!(suggest(&"n".repeat(100_000), keys), None);
    }
}
