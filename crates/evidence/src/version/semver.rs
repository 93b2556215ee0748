//! Semantic versions (2.0.0, section 11), as npm, Cargo and Go use them; a leading `v` and missing numbers are
//! forgiven, since advisories write them so.

use std::cmp::Ordering;

use super::digits;

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    let (a, b) = (read(one)?, read(other)?);
    for index in 0..a.0.len().max(b.0.len()) {
        let (x, y) = (a.0.get(index).unwrap_or(&"0"), b.0.get(index).unwrap_or(&"0"));
        let order = digits(x, y);
        if order.is_ne() {
            return Some(order);
        }
    }
    Some(match (a.1, b.1) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(x), Some(y)) => before_release(x, y),
    })
}

/// The numbers, and what comes before a release; what stands behind a plus orders nothing.
fn read(text: &str) -> Option<(Vec<&str>, Option<&str>)> {
    let text = text.trim().trim_start_matches(['v', '=']);
    let text = text.split('+').next()?;
    let (numbers, before) = match text.split_once('-') {
        Some((numbers, before)) => (numbers, Some(before)),
        None => (text, None),
    };
    let numbers: Vec<&str> = numbers.split('.').collect();
    let good = numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    (good && before != Some("")).then_some((numbers, before))
}

fn before_release(one: &str, other: &str) -> Ordering {
    let (mut a, mut b) = (one.split('.'), other.split('.'));
    loop {
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (x @ None, y) | (x, y @ None) => x.is_some().cmp(&y.is_some()),
            (Some(x), Some(y)) => match (numeric(x), numeric(y)) {
                (true, true) => digits(x, y),
                (false, false) => x.cmp(y),
                // Numbers come before words.
                (x, y) => y.cmp(&x),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sign;
    use super::*;

    #[test]
    fn versions_come_in_the_order_of_the_specification() {
        let rising = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.10.0",
            "v2.0.0",
        ];
        for pair in rising.windows(2) {
            assert_eq!(sign(compare(pair[0], pair[1])), '<', "{pair:?}");
        }
        assert_eq!(sign(compare("1.0.0+build", "1.0")), '=');
        assert_eq!(sign(compare("v0.0.0-20200101000000-abcdef", "0.0.0-20210101000000-abcdef")), '<');
        assert_eq!(sign(compare("latest", "1")), '?');
    }
}
