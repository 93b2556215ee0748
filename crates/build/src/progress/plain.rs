//! Progress as lines of text, as BuildKit's `plain` writes it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{Event, Progress, Vertex};

/// Writes each event as lines to a sink.
pub struct Plain<F> {
    write: F,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What was written of last.
    last: Option<Vertex>,
    names: HashMap<Vertex, String>,
}

impl<F: Fn(&str) + Send + Sync> Plain<F> {
    /// Lines go to `write`, without their ends.
    pub fn new(write: F) -> Self {
        Self { write, state: Mutex::default() }
    }

    /// Says again whose lines follow, when others were in between.
    fn turn_to(&self, state: &mut State, vertex: Vertex) {
        if state.last != Some(vertex) {
            if let Some(name) = state.names.get(&vertex)
                && state.last.is_some()
            {
                (self.write)("");
                (self.write)(&format!("#{} {name}", vertex.0));
            }
            state.last = Some(vertex);
        }
    }
}

impl<F: Fn(&str) + Send + Sync> Progress for Plain<F> {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { vertex, name } => {
                if state.last.is_some() {
                    (self.write)("");
                }
                (self.write)(&format!("#{} {name}", vertex.0));
                state.names.insert(vertex, name);
                state.last = Some(vertex);
            }
            Event::Cached { vertex, name } => {
                if state.last.is_some() {
                    (self.write)("");
                }
                (self.write)(&format!("#{} {name}", vertex.0));
                (self.write)(&format!("#{} CACHED", vertex.0));
                state.last = Some(vertex);
            }
            Event::Line { vertex, at, text } => {
                self.turn_to(&mut state, vertex);
                (self.write)(&format!("#{} {:.3} {text}", vertex.0, at.as_secs_f64()));
            }
            Event::Done { vertex, took } => {
                self.turn_to(&mut state, vertex);
                (self.write)(&format!("#{} DONE {:.1}s", vertex.0, took.as_secs_f64()));
                state.names.remove(&vertex);
            }
            Event::Failed { vertex, message, .. } => {
                self.turn_to(&mut state, vertex);
                (self.write)(&format!("#{} ERROR: {message}", vertex.0));
                state.names.remove(&vertex);
            }
            Event::Warning { message } => (self.write)(&format!("WARNING: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn lines_of_two_steps_say_whose_they_are() {
        let lines = Mutex::new(Vec::new());
        let plain = Plain::new(|line: &str| lines.lock().unwrap().push(line.to_owned()));
        let name = |text: &str| text.to_owned();
        plain.event(Event::Started { vertex: Vertex(1), name: name("[a 1/2] RUN x") });
        plain.event(Event::Started { vertex: Vertex(2), name: name("[b 1/2] RUN y") });
        let at = Duration::from_millis(1500);
        plain.event(Event::Line { vertex: Vertex(1), at, text: name("hello") });
        plain.event(Event::Done { vertex: Vertex(1), took: at });
        plain.event(Event::Cached { vertex: Vertex(3), name: name("[b 2/2] COPY . .") });
        assert_eq!(
            lines.lock().unwrap().join("\n"),
            "#1 [a 1/2] RUN x\n\n#2 [b 1/2] RUN y\n\n#1 [a 1/2] RUN x\n#1 1.500 hello\n#1 DONE 1.5s\n\n#3 [b 2/2] COPY . .\n#3 CACHED"
        );
    }
}
