//! Debian's order (deb-version(7), "Sorting algorithm").

use std::cmp::Ordering;

use super::digits;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (a, b) = (parts(one), parts(other));
    digits(a.0, b.0).then_with(|| part(a.1, b.1)).then_with(|| part(a.2, b.2))
}

/// Epoch, upstream version, revision.
fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

fn part(mut one: &str, mut other: &str) -> Ordering {
    while !one.is_empty() || !other.is_empty() {
        let (a, rest_a) = one.split_at(letters(one));
        let (b, rest_b) = other.split_at(letters(other));
        let order = text(a, b);
        if order.is_ne() {
            return order;
        }
        let (a, rest_a) = rest_a.split_at(numbers(rest_a));
        let (b, rest_b) = rest_b.split_at(numbers(rest_b));
        let order = digits(a, b);
        if order.is_ne() {
            return order;
        }
        (one, other) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn letters(text: &str) -> usize {
    text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len())
}

fn numbers(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len())
}

/// A tilde before the end, the end before letters, letters before all else.
fn text(one: &str, other: &str) -> Ordering {
    let weight = |c: Option<&u8>| match c {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => i32::from(*c) + 256,
    };
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let longest = one.len().max(other.len());
    (0..longest)
        .map(|i| weight(one.get(i)).cmp(&weight(other.get(i))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
