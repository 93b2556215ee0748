//! Ruby's order (`Gem::Version`): segments of digits and of letters; letters make it a version before the release.

use std::cmp::Ordering;

use super::digits;

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (a, b) = (segments(one)?, segments(other)?);
    for index in 0..a.len().max(b.len()) {
        let none = "0".to_owned();
        let (x, y) = (a.get(index).unwrap_or(&none), b.get(index).unwrap_or(&none));
        let numeric = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = match (numeric(x), numeric(y)) {
            (true, true) => digits(x, y),
            (false, false) => x.cmp(y),
            (x, y) => x.cmp(&y),
        };
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

fn segments(text: &str) -> Option<Vec<String>> {
    let text = text.trim().replace('-', ".pre.");
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    if !good || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut segments: Vec<String> = Vec::new();
    for part in text.split('.') {
        let mut word = String::new();
        for c in part.chars() {
            if word.chars().last().is_some_and(|l| l.is_ascii_digit() != c.is_ascii_digit()) {
                segments.push(std::mem::take(&mut word));
            }
            word.push(c);
        }
        if !word.is_empty() {
            segments.push(word);
        }
    }
    while segments.len() > 1 && segments.last().is_some_and(|s| s.bytes().all(|b| b == b'0')) {
        segments.pop();
    }
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::super::tests::sign;
    use super::*;

    #[test]
    fn versions_come_in_rubys_order() {
        let cases = [
            ("1.0", '=', "1.0.0"),
            ("1.0.a", '<', "1.0"),
            ("1.0.rc1", '<', "1.0.rc2"),
            ("1.9", '<', "1.10"),
            ("1.0.0-1", '<', "1.0.0"),
            ("2.0.b1", '>', "2.0.a9"),
            ("x", '?', "1"),
        ];
        for (one, expected, other) in cases {
            assert_eq!(sign(compare(one, other)), expected, "{one} {other}");
        }
    }
}
