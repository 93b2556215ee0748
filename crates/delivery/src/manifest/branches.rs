//! Branch patterns, as in GitHub's filters as far as `*` and `**` go. What those filters know beyond
//! (`?`, `+`, `[…]`, `!`) is refused where a pattern is read, never taken literally.

use std::str::FromStr;

use super::BranchPattern;

/// The longest pattern, in bytes; Git's own limit for a ref is near it.
const LONGEST: usize = 255;

impl FromStr for BranchPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a branch pattern cannot be empty".into());
        }
        if text.len() > LONGEST {
            return Err(format!("a branch pattern cannot be longer than {LONGEST} characters"));
        }
        if let Some(c) = text.chars().find(|c| "?+[]!\\".contains(*c)) {
            return Err(format!(
                "`{c}` is not understood in a branch pattern (`*` stands for anything but `/`, `**` for anything)"
            ));
        }
        if text.starts_with("refs/") {
            return Err("name the branch alone, without `refs/heads/`".into());
        }
        if let Some(c) = text.chars().find(|c| c.is_whitespace() || c.is_control() || "~^:".contains(*c)) {
            return Err(format!("{c:?} cannot stand in a branch's name"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl BranchPattern {
    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole name matches.
    pub fn matches(&self, branch: &str) -> bool {
        let tokens = tokens(&self.0);
        let name: Vec<char> = branch.chars().collect();
        // reach[i]: the pattern so far can match exactly the first i characters. One pass per token, so that
        // no pattern, however many stars it has, takes more than tokens × length steps.
        let mut reach = vec![false; name.len() + 1];
        reach[0] = true;
        for token in tokens {
            let mut next = vec![false; name.len() + 1];
            for i in 0..=name.len() {
                next[i] = match token {
                    Token::Char(c) => i > 0 && reach[i - 1] && name[i - 1] == c,
                    Token::Star => reach[i] || (i > 0 && next[i - 1] && name[i - 1] != '/'),
                    Token::StarStar => reach[i] || (i > 0 && next[i - 1]),
                };
            }
            reach = next;
        }
        reach[name.len()]
    }
}

#[derive(Clone, Copy)]
enum Token {
    Char(char),
    Star,
    StarStar,
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => {
                let mut stars = 1;
                while chars.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars > 1 { Token::StarStar } else { Token::Star }
            }
            c => Token::Char(c),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("main", "main", true),
            ("main", "maintenance", false),
            ("main", "feature/main", false),
            ("release/*", "release/1.2", true),
            ("release/*", "release/1.2/rc", false),
            ("release/*", "release/", true),
            ("release/**", "release/1.2/rc", true),
            ("**", "any/thing/at/all", true),
            ("*", "any/thing", false),
            ("*", "", true),
            ("feature/*-ui", "feature/new-ui", true),
            ("feature/*-ui", "feature/new-ui-2", false),
            ("a*b*c", "aXbYbZc", true),
            ("a.c", "abc", false),
            ("é*", "éa", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                pattern.parse::<BranchPattern>().unwrap().matches(name),
                expected,
                "{pattern} on {name}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in ["", "v?", "v+", "v[12]", "!main", "refs/heads/main", "a b", "a\nb", &"x".repeat(256)] {
            assert!(bad.parse::<BranchPattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern: BranchPattern = format!("{}x", "*a".repeat(120)).parse().unwrap();
        assert!(!pattern.matches(&"a".repeat(2000)));
    }
}
