use std::collections::HashMap;
use std::sync::Arc;

use super::Value;
use super::value::{eq_ignore_case, folded};

/// A mapping that keeps the order of its keys and looks them up ignoring case; or exactly, as the `env` context does.
#[derive(Clone, Debug, Default)]
pub struct Object {
    entries: Vec<(Arc<str>, Value)>,
    /// Where each key stands; empty while there are so few that they are looked through one by one.
    index: HashMap<String, usize>,
    exact: bool,
}

/// How many entries are looked through one by one.
const FEW: usize = 12;

impl Object {
    /// An empty mapping that ignores case.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty mapping that heeds case.
    pub fn exact() -> Self {
        Self { exact: true, ..Self::default() }
    }

    /// Whether keys are looked up exactly.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).map(|i| &self.entries[i].1)
    }

    /// Whether there is a `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Sets `key`. One that is there keeps its place and its spelling.
    pub fn insert(&mut self, key: impl AsRef<str>, value: Value) {
        let key = key.as_ref();
        if let Some(i) = self.place(key) {
            self.entries[i].1 = value;
            return;
        }
        self.entries.push((key.into(), value));
        let last = self.entries.len() - 1;
        if last == FEW {
            self.index = self.entries.iter().enumerate().map(|(i, (key, _))| (self.slot(key), i)).collect();
        } else if last > FEW {
            self.index.insert(self.slot(key), last);
        }
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_ref(), v))
    }

    /// The keys in order, as they were first spelt.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(k, _)| k.as_ref())
    }

    /// The values in order.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> {
        self.entries.iter().map(|(_, v)| v)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn place(&self, key: &str) -> Option<usize> {
        if self.entries.len() > FEW {
            return self.index.get(&self.slot(key)).copied();
        }
        let same = |other: &str| if self.exact { other == key } else { eq_ignore_case(other, key) };
        self.entries.iter().position(|(other, _)| same(other))
    }

    fn slot(&self, key: &str) -> String {
        if self.exact { key.to_owned() } else { folded(key) }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl<K: AsRef<str>> FromIterator<(K, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        let mut object = Self::new();
        object.extend(entries);
        object
    }
}

impl<K: AsRef<str>> Extend<(K, Value)> for Object {
    fn extend<I: IntoIterator<Item = (K, Value)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}
