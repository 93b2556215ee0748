//! A part of the terminal that is drawn again and again; plain lines where there is no terminal.

use anyhow::Result;
use console::Term;

/// What is drawn in place.
#[derive(Debug)]
pub(crate) struct Live {
    term: Term,
    drawn: usize,
    last: Vec<String>,
}

impl Live {
    /// On standard output.
    pub(crate) fn new() -> Self {
        Self { term: Term::stdout(), drawn: 0, last: Vec::new() }
    }

    /// Whether lines can be drawn again.
    pub(crate) fn moving(&self) -> bool {
        self.term.is_term() && std::env::var_os("TERM").is_some_and(|t| t != "dumb")
    }

    /// How wide a line may be.
    pub(crate) fn width(&self) -> usize {
        usize::from(self.term.size().1).max(40)
    }

    /// Draws these lines over those drawn before. Without a terminal: nothing.
    pub(crate) fn draw(&mut self, lines: &[String]) -> Result<()> {
        if !self.moving() || lines == self.last {
            return Ok(());
        }
        let (height, width) = (usize::from(self.term.size().0).max(10), self.width());
        let hidden = lines.len().saturating_sub(height - 2);
        let mut text = String::new();
        if hidden > 0 {
            text.push_str(&format!("  … {hidden} lines above\n"));
        }
        for line in &lines[hidden..] {
            text.push_str(&console::truncate_str(line, width.saturating_sub(1), "…"));
            text.push('\n');
        }
        self.wipe()?;
        self.term.write_str(&text)?;
        self.drawn = lines.len() - hidden + usize::from(hidden > 0);
        self.last = lines.to_vec();
        Ok(())
    }

    /// Says something above what is drawn.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        let standing = std::mem::take(&mut self.last);
        self.wipe()?;
        crate::show::print(text)?;
        self.draw(&standing)
    }

    /// Leaves what is drawn as it is; what comes next is drawn below.
    pub(crate) fn leave(&mut self) {
        self.drawn = 0;
        self.last.clear();
    }

    fn wipe(&mut self) -> Result<()> {
        if self.drawn > 0 {
            self.term.move_cursor_up(self.drawn)?;
            self.term.clear_to_end_of_screen()?;
            self.drawn = 0;
        }
        Ok(())
    }
}
