//! Numbers as Go reads them: times, sizes, truth.

use std::time::Duration;

/// `true`, `false` and the other words for them.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `1h2m3.5s`, `300ms`, `0`; never below zero.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanoseconds: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit_end = rest[number..].find(|c: char| c.is_ascii_digit() || c == '.');
        let unit_end = unit_end.map_or(rest.len(), |at| number + at);
        let unit: u128 = match &rest[number..unit_end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        nanoseconds = nanoseconds.checked_add(scaled(&rest[..number], unit)?)?;
        rest = &rest[unit_end..];
    }
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|all| i64::try_from(*all).is_ok())?;
    Some(Duration::from_nanos(nanoseconds))
}

/// A number with or without a fraction, times a unit.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.into() };
    // Eighteen digits behind the point are finer than any unit.
    let fraction = &fraction[..fraction.len().min(18)];
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()?.into() };
    Some(whole.checked_mul(unit)? + part * unit / 10_u128.pow(fraction.len() as u32))
}

/// `100`, `64k`, `1.5g`, `512MiB`: bytes, with units of 1024.
pub(crate) fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let unit = lower[end..].trim();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(unit);
    let factor: u128 = match unit {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        "p" => 1 << 50,
        _ => return None,
    };
    u64::try_from(scaled(&lower[..end], factor)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("30s", Some(30_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("1h2m3s", Some(3_723_000_000_000)),
            ("300ms", Some(300_000_000)),
            (".5m", Some(30_000_000_000)),
            ("1us", Some(1_000)),
            ("1µs", Some(1_000)),
            ("30", None),
            ("", None),
            ("s", None),
            (".s", None),
            ("-1s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("9223372036854775807h", None),
            ("99999999999999999999999s", None),
        ] {
            assert_eq!(duration(text).map(|found| found.as_nanos()), wanted, "{text}");
        }
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, wanted) in [
            ("100", Some(100)),
            ("1k", Some(1024)),
            ("1.5K", Some(1536)),
            ("2MB", Some(2 << 20)),
            ("2 MiB", Some(2 << 20)),
            ("1g", Some(1 << 30)),
            ("x", None),
            ("", None),
            ("1x", None),
            ("99999999p", None),
        ] {
            assert_eq!(size(text), wanted, "{text}");
        }
    }
}
