//! Scalars: their text as written, and what YAML 1.2's core schema (chapter 10.3.2) makes of it.

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Style {
    /// Without quotes.
    Plain,
    /// `'…'`
    SingleQuoted,
    /// `"…"`
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// What the core schema makes of a scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolved {
    /// Empty, `~`, `null`, `Null`, `NULL`.
    Null,
    /// `true` or `false`, lower, title or upper case.
    Bool(bool),
    /// An integer or a floating point number.
    Number(f64),
    /// All else.
    String,
}

/// A scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// Its text, unescaped and folded, but otherwise as written: `010` and `1.10` stay what they are.
    pub text: String,
    /// How it was written.
    pub style: Style,
    /// What the core schema makes of it.
    pub resolved: Resolved,
}

impl Scalar {
    /// A scalar without a tag.
    pub(crate) fn new(text: String, style: Style) -> Self {
        let resolved = if style == Style::Plain { resolve(&text) } else { Resolved::String };
        Self { text, style, resolved }
    }

    /// A scalar with a tag of the core schema, by the tag's last part; `None` when the text does not fit it.
    pub(crate) fn tagged(text: String, style: Style, tag: &str) -> Option<Self> {
        let resolved = match (tag, resolve(&text)) {
            ("str", _) => Resolved::String,
            ("null", Resolved::Null) => Resolved::Null,
            ("bool", bool @ Resolved::Bool(_)) => bool,
            ("int", number @ Resolved::Number(value)) if value.fract() == 0.0 => number,
            ("float", number @ Resolved::Number(_)) => number,
            _ => return None,
        };
        Some(Self { text, style, resolved })
    }

    /// What it is, as messages say it.
    pub fn kind(&self) -> &'static str {
        match self.resolved {
            Resolved::Null => "null",
            Resolved::Bool(_) => "a boolean",
            Resolved::Number(_) => "a number",
            Resolved::String => "a string",
        }
    }

    /// The text where a string is wanted: as written, null as nothing.
    pub fn as_text(&self) -> &str {
        if self.resolved == Resolved::Null { "" } else { &self.text }
    }
}

fn resolve(text: &str) -> Resolved {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Number(f64::NAN),
        _ => {}
    }
    match number(text) {
        Some(value) => Resolved::Number(value),
        None => Resolved::String,
    }
}

fn number(text: &str) -> Option<f64> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if matches!(body, ".inf" | ".Inf" | ".INF") {
        return Some(sign * f64::INFINITY);
    }
    let (mantissa, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], Some(&body[at + 1..])),
        None => (body, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() || !digits(exponent) {
            return None;
        }
    }
    body.parse::<f64>().ok().map(|value| sign * value)
}

fn radix(digits: &str, radix: u32) -> Option<f64> {
    if digits.is_empty() {
        return None;
    }
    digits.chars().try_fold(0.0_f64, |sum, digit| {
        digit.to_digit(radix).map(|digit| sum * f64::from(radix) + f64::from(digit))
    })
}

/// A number as workflow text: whole ones without a fraction.
pub fn number_text(value: f64) -> String {
    // Adding zero turns a negative zero into a plain one.
    format!("{}", value + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_schema() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(text), Resolved::Null, "{text}");
        }
        for (text, value) in [("true", true), ("True", true), ("TRUE", true), ("False", false)] {
            assert_eq!(resolve(text), Resolved::Bool(value), "{text}");
        }
        for (text, value) in [
            ("0", 0.0),
            ("010", 10.0),
            ("-12", -12.0),
            ("+7", 7.0),
            ("0x1F", 31.0),
            ("0o17", 15.0),
            ("1.10", 1.1),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-1.5E-1", -0.15),
            (".inf", f64::INFINITY),
            ("-.Inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(resolve(text), Resolved::Number(value), "{text}");
        }
        assert!(matches!(resolve(".nan"), Resolved::Number(value) if value.is_nan()));
        for text in [
            "yes", "on", "no", "tRUE", "nULL", "1_000", "0b1", "0x", "0xg", "0o8", "1.2.3", ".", "-", "1e",
            "e5", "inf", "nan", "NaN", "+.nan", "-0x1", "1 2", "--1", "١",
        ] {
            assert_eq!(resolve(text), Resolved::String, "{text}");
        }
    }

    #[test]
    fn quotes_make_strings_and_tags_decide() {
        assert_eq!(Scalar::new("1".into(), Style::SingleQuoted).resolved, Resolved::String);
        let tagged = |text: &str, tag| Scalar::tagged(text.into(), Style::Plain, tag).map(|s| s.resolved);
        assert_eq!(tagged("1", "str"), Some(Resolved::String));
        assert_eq!(tagged("1", "int"), Some(Resolved::Number(1.0)));
        assert_eq!(tagged("1.5", "int"), None);
        assert_eq!(tagged("x", "bool"), None);
    }
}
