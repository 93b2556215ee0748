use std::cmp::Ordering;
use std::sync::Arc;

use super::Object;
use super::number;

/// A value of an expression. Arrays and objects are shared, and equal to each other only as the same instance
/// ([`Value::loose_eq`]); `PartialEq` compares content, for tests and for maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `null`, and whatever is missing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A double.
    Number(f64),
    /// A text.
    String(Arc<str>),
    /// A sequence.
    Array(Arc<Vec<Value>>),
    /// A mapping.
    Object(Arc<Object>),
}

impl Value {
    /// An array.
    pub fn array(items: impl IntoIterator<Item = Value>) -> Self {
        Self::Array(Arc::new(items.into_iter().collect()))
    }

    /// An object whose keys are looked up ignoring case.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Object(Arc::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect()))
    }

    /// An object without keys.
    pub fn empty_object() -> Self {
        Self::Object(Arc::new(Object::new()))
    }

    /// The property `key` of an object; `Null` if there is none, or this is no object.
    pub fn get(&self, key: &str) -> Value {
        match self {
            Self::Object(o) => o.get(key).cloned().unwrap_or_default(),
            _ => Self::Null,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The items, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(o) => Some(o),
            _ => None,
        }
    }

    /// Neither array nor object.
    pub fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }

    /// As a number: null 0, booleans 0 and 1, strings as GitHub reads them, collections NaN.
    pub fn to_number(&self) -> f64 {
        match self {
            Self::Null => 0.0,
            Self::Bool(b) => f64::from(u8::from(*b)),
            Self::Number(n) => *n,
            Self::String(s) => number::parse(s),
            Self::Array(_) | Self::Object(_) => f64::NAN,
        }
    }

    /// As a text: null is empty, numbers have 15 digits, collections are `Array` and `Object`.
    pub fn to_text(&self) -> Arc<str> {
        match self {
            Self::Null => "".into(),
            Self::Bool(true) => "true".into(),
            Self::Bool(false) => "false".into(),
            Self::Number(n) => number::format(*n).into(),
            Self::String(s) => s.clone(),
            Self::Array(_) => "Array".into(),
            Self::Object(_) => "Object".into(),
        }
    }

    /// As a condition: null, false, 0, NaN and the empty text do not hold.
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Number(n) => *n != 0.0 && !n.is_nan(),
            Self::String(s) => !s.is_empty(),
            Self::Array(_) | Self::Object(_) => true,
        }
    }

    /// The operator `==`: different kinds become numbers, texts ignore case, collections are equal only as the
    /// same instance.
    pub fn loose_eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => eq_ignore_case(a, b),
            (Self::Array(a), Self::Array(b)) => Arc::ptr_eq(a, b),
            (Self::Object(a), Self::Object(b)) => Arc::ptr_eq(a, b),
            _ => self.to_number() == other.to_number(),
        }
    }

    /// The order behind `<` and `>`; `None` where neither holds (NaN, two nulls, collections).
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, Self::Null) => None,
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::String(a), Self::String(b)) => Some(utf16(a).cmp(utf16(b))),
            (Self::Array(_) | Self::Object(_), _) | (_, Self::Array(_) | Self::Object(_)) => None,
            _ => self.to_number().partial_cmp(&other.to_number()),
        }
    }

    /// As JSON; numbers that are whole and exact become integers, those that JSON cannot say become null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(b) => (*b).into(),
            Self::Number(n) if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => (*n as i64).into(),
            Self::Number(n) => serde_json::Number::from_f64(*n).map_or(serde_json::Value::Null, Into::into),
            Self::String(s) => s.as_ref().into(),
            Self::Array(items) => items.iter().map(Self::to_json).collect(),
            Self::Object(o) => {
                serde_json::Value::Object(o.iter().map(|(k, v)| (k.to_owned(), v.to_json())).collect())
            }
        }
    }

    /// As `toJSON` lays it out: two spaces of indent, `\n`, numbers with 15 digits.
    pub fn to_json_text(&self) -> String {
        super::json::write(self, usize::MAX).unwrap_or_default()
    }
}

/// One character in upper case: the simple mapping of .NET's ordinal comparison, in which the dotless i and the long s
/// stay what they are.
pub(crate) fn fold(c: char) -> char {
    match c {
        _ if c.is_ascii() => c.to_ascii_uppercase(),
        'ı' | 'ſ' => c,
        // Their full mappings are two characters, their simple ones are these.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => shifted(c, 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shifted(c, 9),
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(u), None) => u,
                _ => c,
            }
        }
    }
}

fn shifted(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

/// A text in upper case.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_uppercase() } else { text.chars().map(fold).collect() }
}

/// Whether two texts are the same but for case.
pub(crate) fn eq_ignore_case(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    !(a.is_ascii() && b.is_ascii()) && a.chars().map(fold).eq(b.chars().map(fold))
}

/// Whether `part` stands in `text`, ignoring case.
pub(super) fn contains_ignore_case(text: &str, part: &str) -> bool {
    folded(text).contains(&folded(part))
}

/// Whether `text` begins with `part`, ignoring case.
pub(super) fn starts_ignore_case(text: &str, part: &str) -> bool {
    let mut text = text.chars();
    part.chars().all(|c| text.next().is_some_and(|t| fold(t) == fold(c)))
}

/// Whether `text` ends with `part`, ignoring case.
pub(super) fn ends_ignore_case(text: &str, part: &str) -> bool {
    let mut text = text.chars().rev();
    part.chars().rev().all(|c| text.next().is_some_and(|t| fold(t) == fold(c)))
}

fn utf16(text: &str) -> impl Iterator<Item = u16> + '_ {
    text.chars().map(fold).flat_map(|c| {
        let mut units = [0; 2];
        let length = c.encode_utf16(&mut units).len();
        units.into_iter().take(length)
    })
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::Number(f64::from(n))
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::Number(f64::from(n))
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::String(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::String(s.into())
    }
}

impl From<Object> for Value {
    fn from(o: Object) -> Self {
        Self::Object(Arc::new(o))
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(b) => Self::Bool(*b),
            serde_json::Value::Number(n) => Self::Number(n.as_f64().unwrap_or(f64::NAN)),
            serde_json::Value::String(s) => s.as_str().into(),
            serde_json::Value::Array(items) => Self::array(items.iter().map(Self::from)),
            serde_json::Value::Object(map) => {
                Self::object(map.iter().map(|(k, v)| (k.as_str(), Self::from(v))))
            }
        }
    }
}

impl From<serde_json::Value> for Value {
    fn from(json: serde_json::Value) -> Self {
        Self::from(&json)
    }
}
