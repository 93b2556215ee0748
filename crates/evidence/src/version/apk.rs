//! Alpine's order: numbers by dots, a letter, suffixes such as `_rc1` and `_p2`, a revision `-r3`.

use std::cmp::Ordering;

use super::digits;

/// Suffixes before a release, in their order, and behind it.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const BEHIND: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

#[derive(Debug)]
struct Version<'a> {
    numbers: Vec<&'a str>,
    letter: Option<char>,
    suffixes: Vec<(i32, &'a str)>,
    revision: &'a str,
}

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    Some(order(&read(one)?, &read(other)?))
}

fn read(text: &str) -> Option<Version<'_>> {
    let (text, revision) = match text.rsplit_once("-r") {
        Some((text, revision)) if !revision.is_empty() && revision.bytes().all(|b| b.is_ascii_digit()) => {
            (text, revision)
        }
        _ => (text, "0"),
    };
    // A hash of a commit orders nothing.
    let text = text.split('~').next()?;
    let mut parts = text.split('_');
    let mut head = parts.next()?;
    let letter = head.chars().last().filter(char::is_ascii_lowercase);
    if letter.is_some() {
        head = &head[..head.len() - 1];
    }
    let numbers: Vec<&str> = head.split('.').collect();
    if numbers.iter().any(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit())) {
        return None;
    }
    let suffix = |part: &'_ str| -> Option<(i32, usize)> {
        let at = part.find(|c: char| c.is_ascii_digit()).unwrap_or(part.len());
        let name = &part[..at];
        let before = BEFORE.iter().position(|s| *s == name).map(|i| i as i32 - BEFORE.len() as i32);
        let behind = || BEHIND.iter().position(|s| *s == name).map(|i| i as i32 + 1);
        let number = part[at..].bytes().all(|b| b.is_ascii_digit());
        number.then(|| before.or_else(behind))?.map(|rank| (rank, at))
    };
    let mut suffixes = Vec::new();
    for part in parts {
        let (rank, at) = suffix(part)?;
        suffixes.push((rank, &part[at..]));
    }
    Some(Version { numbers, letter, suffixes, revision })
}

fn order(a: &Version<'_>, b: &Version<'_>) -> Ordering {
    for index in 0..a.numbers.len().max(b.numbers.len()) {
        let order = match (a.numbers.get(index), b.numbers.get(index)) {
            // Behind the first dot a number with a leading zero is read as a fraction.
            (Some(x), Some(y)) if index > 0 && (x.starts_with('0') || y.starts_with('0')) => x.cmp(y),
            (Some(x), Some(y)) => digits(x, y),
            (x, y) => x.is_some().cmp(&y.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    let letters = a.letter.cmp(&b.letter);
    if letters.is_ne() {
        return letters;
    }
    for index in 0..a.suffixes.len().max(b.suffixes.len()) {
        let none = (0, "");
        let (x, y) = (a.suffixes.get(index).unwrap_or(&none), b.suffixes.get(index).unwrap_or(&none));
        let order = x.0.cmp(&y.0).then_with(|| digits(x.1, y.1));
        if order.is_ne() {
            return order;
        }
    }
    digits(a.revision, b.revision)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sign;
    use super::*;

    #[test]
    fn versions_come_in_alpines_order() {
        let cases = [
            ("1.2.3-r0", '<', "1.2.3-r1"),
            ("1.2.3", '=', "1.2.3-r0"),
            ("1.2_rc1", '<', "1.2"),
            ("1.2_alpha", '<', "1.2_beta"),
            ("1.2_p1", '>', "1.2"),
            ("1.2_p1", '<', "1.2_p10"),
            ("1.2a", '>', "1.2"),
            ("1.2b", '>', "1.2a"),
            ("1.10", '>', "1.9"),
            ("1.2.0", '>', "1.2"),
            ("3.0.12-r4", '<', "3.1.0-r0"),
            ("1.2_git20200101", '>', "1.2"),
            ("0.12", '>', "0.1"),
            ("1.05", '<', "1.1"),
            ("x", '?', "1"),
            ("1.2_odd1", '?', "1"),
        ];
        for (one, expected, other) in cases {
            assert_eq!(sign(compare(one, other)), expected, "{one} {other}");
        }
    }
}
