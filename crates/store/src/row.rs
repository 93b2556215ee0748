//! Between rows and the kernel's types. Nothing here belongs to one database only.

use serde_json::Value;
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};
use windlass_kernel::{Event, NewEvent, StoreError, Timestamp};

/// A ledger entry as its columns.
pub(crate) struct EventRow {
    seq: i64,
    at: i64,
    actor: String,
    kind: String,
    project: Option<String>,
    subject: String,
    key: Option<String>,
    data: String,
    hash: String,
}

impl<'r, R: Row> FromRow<'r, R> for EventRow
where
    &'static str: ColumnIndex<R>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> sqlx::Result<Self> {
        Ok(Self {
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            actor: row.try_get("actor")?,
            kind: row.try_get("kind")?,
            project: row.try_get("project")?,
            subject: row.try_get("subject")?,
            key: row.try_get("key")?,
            data: row.try_get("data")?,
            hash: row.try_get("hash")?,
        })
    }
}

impl EventRow {
    pub(crate) fn decode(self) -> Result<Event, StoreError> {
        let corrupt =
            |why: String| StoreError::Corrupt { kind: "event".into(), id: self.seq.to_string(), why };
        Ok(Event {
            seq: self.seq as u64,
            body: NewEvent {
                at: Timestamp::from_millis(self.at),
                actor: self.actor.parse().map_err(corrupt)?,
                kind: self.kind.clone(),
                project: self
                    .project
                    .as_deref()
                    .map(str::parse)
                    .transpose()
                    .map_err(|e| corrupt(format!("{e}")))?,
                subject: self.subject.clone(),
                key: self.key.clone(),
                data: serde_json::from_str(&self.data).map_err(|e| corrupt(e.to_string()))?,
            },
            hash: self.hash.clone(),
        })
    }
}

/// The particulars as they will read once written: the chain is checked over what is read back, and the JSON reader is
/// not exact to the last digit for every fraction. A fraction that would come back as another is rounded to twelve
/// digits; should even that not come back, it is kept as text.
pub(crate) fn settled(data: Value) -> Value {
    match data {
        Value::Number(number) if number.is_f64() => {
            let comes_back =
                |v: &Value| serde_json::from_str::<Value>(&v.to_string()).is_ok_and(|read| read == *v);
            let exact = Value::Number(number);
            if comes_back(&exact) {
                return exact;
            }
            let rounded = format!("{:.11e}", exact.as_f64().unwrap_or_default());
            let rounded = rounded.parse::<f64>().map_or(Value::Null, Value::from);
            if comes_back(&rounded) { rounded } else { Value::String(exact.to_string()) }
        }
        Value::Array(items) => Value::Array(items.into_iter().map(settled).collect()),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, settled(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_reads_back_as_itself() {
        for text in
            ["null", "[1,2.5,1e300,-0.0,18446744073709551615]", "{\"b\":1,\"a\":{\"x\":\"é\\u0000\"}}"]
        {
            let value: Value = serde_json::from_str(text).unwrap();
            let settled = settled(value);
            let again: Value = serde_json::from_str(&settled.to_string()).unwrap();
            assert_eq!(again.to_string(), settled.to_string());
        }
        let mut state = 1u64;
        for n in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Any float at all, and the kind that events hold: seconds and shares.
            let float = if n % 2 == 0 { f64::from_bits(state) } else { state as f64 / 1e18 };
            let settled = settled(serde_json::json!({ "value": [float] }));
            let again: Value = serde_json::from_str(&settled.to_string()).unwrap();
            assert_eq!(again, settled, "{float:?}");
            assert_eq!(again.to_string(), settled.to_string(), "{float:?}");
            if n % 2 == 1 {
                let kept = settled["value"][0].as_f64().unwrap();
                assert!((kept - float).abs() <= float * 1e-11, "{float} became {kept}");
            }
        }
    }
}
