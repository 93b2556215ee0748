//! Questions at the terminal.

use std::io::{IsTerminal as _, Read as _, Write as _};

use anyhow::{Context as _, Result};
use console::Term;

use crate::failure::Failure;

/// Whether somebody can be asked.
pub(crate) fn possible() -> bool {
    std::io::stdin().is_terminal()
}

/// Asks a question that is answered yes or no; anything but a yes is a no.
pub(crate) async fn yes(question: &str) -> Result<bool> {
    let answer = line(&format!("{question} [y/N] ")).await?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// Asks for a line.
pub(crate) async fn line(question: &str) -> Result<String> {
    let question = question.to_owned();
    let read = tokio::task::spawn_blocking(move || -> Result<String> {
        print!("{question}");
        std::io::stdout().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(answer)
    });
    read.await.context("the answer was not read")?
}

/// A value that must not be seen: asked without echo at a terminal, else the whole of standard input without its
/// last line break.
pub(crate) async fn hidden(question: &str) -> Result<String> {
    let question = question.to_owned();
    let read = tokio::task::spawn_blocking(move || -> Result<String> {
        if possible() {
            let term = Term::stderr();
            term.write_str(&question)?;
            return Ok(term.read_secure_line()?);
        }
        let mut text = String::new();
        std::io::stdin()
            .lock()
            .take(1 << 20)
            .read_to_string(&mut text)
            .context("standard input is not text")?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
    });
    let value = read.await.context("the value was not read")??;
    if value.is_empty() {
        return Err(Failure::usage("the value is empty: type it, or give it on standard input").into());
    }
    Ok(value)
}
