//! RPM's order (rpm-version(7)): epoch, version, release; `~` before everything, `^` behind the bare version.

use std::cmp::Ordering;

use super::digits;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let (a, b) = (parts(one), parts(other));
    let releases = match (a.2, b.2) {
        (Some(a), Some(b)) => part(a, b),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    digits(a.0, b.0).then_with(|| part(a.1, b.1)).then(releases)
}

/// Epoch, version, release.
fn parts(version: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => (epoch, rest),
        _ => ("0", version),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

fn part(mut one: &str, mut other: &str) -> Ordering {
    loop {
        one = one.trim_start_matches(separator);
        other = other.trim_start_matches(separator);
        for sign in ['~', '^'] {
            let early = if sign == '~' { Ordering::Less } else { Ordering::Greater };
            match (one.strip_prefix(sign), other.strip_prefix(sign)) {
                (Some(a), Some(b)) => return part(a, b),
                // Behind the bare version, but before one that goes on.
                (Some(_), None) => {
                    return if sign == '^' && !other.is_empty() { Ordering::Less } else { early };
                }
                (None, Some(_)) => {
                    return if sign == '^' && !one.is_empty() { Ordering::Greater } else { early.reverse() };
                }
                (None, None) => {}
            }
        }
        if one.is_empty() || other.is_empty() {
            return one.len().min(1).cmp(&other.len().min(1));
        }
        let number = one.starts_with(|c: char| c.is_ascii_digit());
        let same = |c: char| if number { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
        let (a, rest_a) = one.split_at(one.find(|c| !same(c)).unwrap_or(one.len()));
        let (b, rest_b) = other.split_at(other.find(|c| !same(c)).unwrap_or(other.len()));
        if b.is_empty() {
            // A number is behind a word.
            return if number { Ordering::Greater } else { Ordering::Less };
        }
        let order = if number { digits(a, b) } else { a.cmp(b) };
        if order.is_ne() {
            return order;
        }
        (one, other) = (rest_a, rest_b);
    }
}

fn separator(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '~' && c != '^'
}
