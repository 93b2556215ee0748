//! Numbers to text and back, as .NET does it (`G15`), because that is what workflows see on GitHub.

/// Reads a number as GitHub does: trimmed; empty is 0; decimal with sign, fraction and exponent; `0x` and `0o` with
/// 32 bits (so `0xFFFFFFFF` is −1); `Infinity` with or without a sign, in any case; anything else is NaN.
pub(crate) fn parse(text: &str) -> f64 {
    let text = text.trim();
    if text.is_empty() {
        return 0.0;
    }
    if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return text.parse().unwrap_or(f64::NAN);
    }
    let wrap = |digits: &str, radix: u32| {
        let plain = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let bits = if plain { u32::from_str_radix(digits, radix).ok() } else { None };
        bits.map_or(f64::NAN, |bits| f64::from(bits as i32))
    };
    if let Some(digits) = text.strip_prefix("0x") {
        return wrap(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return wrap(digits, 8);
    }
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    match (size.eq_ignore_ascii_case("infinity"), negative) {
        (true, true) => f64::NEG_INFINITY,
        (true, false) => f64::INFINITY,
        _ => f64::NAN,
    }
}

/// Fifteen significant digits without trailing zeros; an exponent below −4 or from 15 on.
pub(crate) fn format(n: f64) -> String {
    if n.is_nan() {
        return "NaN".into();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    if n.fract() == 0.0 && n.abs() < 1e15 {
        // Most numbers; and −0, which is written as 0.
        return (n as i64).to_string();
    }
    let scientific = format!("{:.14e}", n.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = digits.trim_end_matches('0');
    let sign = if n < 0.0 { "-" } else { "" };
    if !(-4..15).contains(&exponent) {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{first}{point}{rest}E{direction}{:02}", exponent.abs());
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}", "0".repeat(whole - digits.len()));
    }
    let (before, after) = digits.split_at(whole);
    format!("{sign}{before}.{after}")
}
