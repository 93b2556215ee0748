//! Python's order (version specifiers, PEP 440).

use std::cmp::Ordering;

use super::digits;

#[derive(Debug, Default)]
struct Version {
    epoch: String,
    release: Vec<String>,
    /// `a`, `b`, `rc`, and a number.
    pre: Option<(char, String)>,
    post: Option<String>,
    dev: Option<String>,
    local: Vec<String>,
}

pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    Some(order(&read(one)?, &read(other)?))
}

fn read(text: &str) -> Option<Version> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix('v').unwrap_or(&text);
    let (text, local) = text.split_once('+').map_or((text, ""), |(text, local)| (text, local));
    let mut version = Version { epoch: "0".to_owned(), ..Version::default() };
    if text.contains('+') || (local.is_empty() && text.ends_with('+')) {
        return None;
    }
    version.local = local.split(['.', '-', '_']).filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let mut rest = text;
    if let Some((epoch, behind)) = text.split_once('!') {
        version.epoch = number(epoch)?;
        rest = behind;
    }
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let release = rest[..end].trim_end_matches('.');
    rest = &rest[release.len()..];
    version.release = release.split('.').map(number).collect::<Option<_>>()?;
    while !rest.is_empty() {
        rest = suffix(rest, &mut version)?;
    }
    Some(version)
}

/// Takes one suffix off; what is left.
fn suffix<'a>(rest: &'a str, version: &mut Version) -> Option<&'a str> {
    let dash = rest.starts_with('-');
    let rest = rest.trim_start_matches(['.', '-', '_']);
    let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    let behind = if word.is_empty() { behind } else { behind.trim_start_matches(['.', '-', '_']) };
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    let (count, left) = behind.split_at(digits);
    let count = if count.is_empty() { "0".to_owned() } else { count.to_owned() };
    match word {
        "a" | "alpha" if version.pre.is_none() => version.pre = Some(('a', count)),
        "b" | "beta" if version.pre.is_none() => version.pre = Some(('b', count)),
        "rc" | "c" | "pre" | "preview" if version.pre.is_none() => version.pre = Some(('r', count)),
        "post" | "rev" | "r" if version.post.is_none() => version.post = Some(count),
        "dev" if version.dev.is_none() => version.dev = Some(count),
        // `1.0-1` is the first release after 1.0.
        "" if dash && digits > 0 && version.post.is_none() => version.post = Some(count),
        _ => return None,
    }
    // Without separators between, what is left was part of a word that is not known; the digits of a word are its own.
    Some(left)
}

fn number(text: &str) -> Option<String> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.to_owned())
}

fn order(a: &Version, b: &Version) -> Ordering {
    digits(&a.epoch, &b.epoch)
        .then_with(|| {
            let zero = "0".to_owned();
            let count = a.release.len().max(b.release.len());
            let part = |v: &Version, i: usize| v.release.get(i).unwrap_or(&zero).clone();
            (0..count)
                .map(|i| digits(&part(a, i), &part(b, i)))
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        })
        .then_with(|| stage(a).cmp(&stage(b)))
        .then_with(|| {
            let count = |v: &Version| v.pre.as_ref().map(|(_, n)| n.clone()).unwrap_or_default();
            digits(&count(a), &count(b))
        })
        .then_with(|| number_or_least(a.post.as_deref(), b.post.as_deref()))
        .then_with(|| match (&a.dev, &b.dev) {
            (Some(x), Some(y)) => digits(x, y),
            // What is still in development comes first.
            (x, y) => y.is_some().cmp(&x.is_some()),
        })
        .then_with(|| local(&a.local, &b.local))
}

/// Development of the release itself, then `a`, `b`, `rc`, then the release.
fn stage(v: &Version) -> u8 {
    match (&v.pre, &v.post, &v.dev) {
        (Some(('a', _)), ..) => 1,
        (Some(('b', _)), ..) => 2,
        (Some(_), ..) => 3,
        (None, None, Some(_)) => 0,
        (None, ..) => 4,
    }
}

fn number_or_least(one: Option<&str>, other: Option<&str>) -> Ordering {
    match (one, other) {
        (Some(x), Some(y)) => digits(x, y),
        (x, y) => x.is_some().cmp(&y.is_some()),
    }
}

fn local(one: &[String], other: &[String]) -> Ordering {
    for index in 0..one.len().max(other.len()) {
        let order = match (one.get(index), other.get(index)) {
            (Some(x), Some(y)) => match (number(x), number(y)) {
                (Some(x), Some(y)) => digits(&x, &y),
                (None, None) => x.cmp(y),
                // Words come before numbers.
                (x, y) => x.is_some().cmp(&y.is_some()),
            },
            (x, y) => x.is_some().cmp(&y.is_some()),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}
