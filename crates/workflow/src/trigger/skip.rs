//! Commits that ask for no runs.

const INSTRUCTIONS: [&str; 5] = ["[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"];

/// What in a commit's message asks that pushes and pull requests start nothing.
pub fn skip_instruction(message: &str) -> Option<&'static str> {
    if let Some(found) = INSTRUCTIONS.iter().find(|instruction| message.contains(**instruction)) {
        return Some(found);
    }
    // Trailers stand in the last paragraph, which is not the subject.
    let lines: Vec<&str> = message.trim_end().lines().collect();
    let blank = lines.iter().rposition(|line| line.trim().is_empty())?;
    let skips = lines[blank + 1..].iter().any(|line| {
        line.split_once(':').is_some_and(|(key, value)| {
            key.trim().eq_ignore_ascii_case("skip-checks") && value.trim().eq_ignore_ascii_case("true")
        })
    });
    skips.then_some("skip-checks: true")
}

#[cfg(test)]
mod tests {
    use super::skip_instruction;

    #[test]
    fn instructions_and_trailers() {
        for (message, wanted) in [
            ("Fix [skip ci]", Some("[skip ci]")),
            ("Fix\n\nbody [no ci] more", Some("[no ci]")),
            ("[actions skip] x", Some("[actions skip]")),
            ("Fix\n\n\nskip-checks: true\n", Some("skip-checks: true")),
            ("Fix\n\nSigned-off-by: a\nskip-checks:true", Some("skip-checks: true")),
            ("Fix\n\nskip-checks: false", None),
            ("skip-checks: true", None),
            ("Fix\n\nskip-checks: true\n\nmore text", None),
            ("skip ci", None),
            ("", None),
        ] {
            assert_eq!(skip_instruction(message), wanted, "{message:?}");
        }
    }
}
