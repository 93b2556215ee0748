//! Logs: one JSON object a line, on standard output.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

static ON: AtomicBool = AtomicBool::new(false);

/// Lets lines be written: the program does, tests of the API do not.
pub fn log_to_stdout() {
    ON.store(true, Ordering::Relaxed);
}

/// Writes a line. `fields` is an object; its members stand beside time, level and message.
pub fn event(level: &str, message: &str, fields: Value) {
    if !ON.load(Ordering::Relaxed) {
        return;
    }
    let mut line = json!({ "timestamp": crate::timestamp(), "level": level, "message": message });
    if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
        line.extend(fields);
    }
    let mut text = line.to_string();
    text.push('\n');
    // Nobody can be told when the log itself cannot be written.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
