//! Secrets that lie in layers, also in files that a layer above removes: whoever has the image has them still.
//! Known forms only, each by what it begins with; what looks made up, or stands in documentation, is left out.

use std::collections::BTreeSet;

use regex::bytes::Regex;
use serde::{Deserialize, Serialize};

/// How many are listed.
const MOST: usize = 1000;
/// How many bits a character of a token must have on average: below, it is an example or a placeholder.
const LEAST_ENTROPY: f64 = 3.0;

/// A secret in a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leak {
    /// The file.
    pub path: String,
    /// The line in it, from 1.
    pub line: u32,
    /// What it is, such as `AWS access key`.
    pub what: String,
    /// Its beginning, the rest masked.
    pub masked: String,
    /// The place of the layer, from the bottom.
    pub layer: usize,
    /// A layer above removes or replaces the file: the secret is in the image all the same.
    pub removed: bool,
}

/// A form that secrets have.
struct Form {
    what: &'static str,
    /// What it begins with.
    begins: &'static str,
    /// The whole of it.
    whole: &'static str,
    /// Whether it must look random.
    random: bool,
}

const FORMS: &[Form] = &[
    Form {
        what: "private key",
        begins: "-----BEGIN ",
        whole: r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s+(?:[A-Za-z0-9+/=:, -]+\s+){2,}",
        random: false,
    },
    Form { what: "AWS access key", begins: "AKIA", whole: r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", random: true },
    Form { what: "AWS access key", begins: "ASIA", whole: r"\bASIA[A-Z2-7]{16}\b", random: true },
    Form { what: "GitHub token", begins: "ghp_", whole: r"\bghp_[A-Za-z0-9]{36}\b", random: true },
    Form { what: "GitHub token", begins: "gho_", whole: r"\bgho_[A-Za-z0-9]{36}\b", random: true },
    Form { what: "GitHub token", begins: "ghs_", whole: r"\bghs_[A-Za-z0-9]{36}\b", random: true },
    Form { what: "GitHub token", begins: "ghu_", whole: r"\bghu_[A-Za-z0-9]{36}\b", random: true },
    Form {
        what: "GitHub token",
        begins: "github_pat_",
        whole: r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        random: true,
    },
    Form { what: "GitLab token", begins: "glpat-", whole: r"\bglpat-[A-Za-z0-9_-]{20,}", random: true },
    Form { what: "Google API key", begins: "AIza", whole: r"\bAIza[A-Za-z0-9_-]{35}\b", random: true },
    Form {
        what: "Slack token",
        begins: "xox",
        whole: r"\bxox[abprs]-[0-9]{6,}-[A-Za-z0-9-]{10,}",
        random: true,
    },
    Form {
        what: "Slack web hook",
        begins: "https://hooks.slack.com/services/",
        whole: r"https://hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}",
        random: true,
    },
    Form { what: "Stripe key", begins: "sk_live_", whole: r"\bsk_live_[A-Za-z0-9]{20,}", random: true },
    Form { what: "Stripe key", begins: "rk_live_", whole: r"\brk_live_[A-Za-z0-9]{20,}", random: true },
    Form { what: "npm token", begins: "npm_", whole: r"\bnpm_[A-Za-z0-9]{36}\b", random: true },
    Form { what: "PyPI token", begins: "pypi-AgE", whole: r"\bpypi-AgE[A-Za-z0-9_-]{50,}", random: true },
    Form {
        what: "SendGrid key",
        begins: "SG.",
        whole: r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",
        random: true,
    },
    Form {
        what: "Docker Hub token",
        begins: "dckr_pat_",
        whole: r"\bdckr_pat_[A-Za-z0-9_-]{27}\b",
        random: true,
    },
    Form {
        what: "age identity",
        begins: "AGE-SECRET-KEY-1",
        whole: r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}\b",
        random: true,
    },
    Form {
        what: "Azure storage key",
        begins: "AccountKey=",
        whole: r"AccountKey=[A-Za-z0-9+/]{86}==",
        random: true,
    },
    Form {
        what: "JSON web token",
        begins: "eyJhbGciOi",
        whole: r"\beyJhbGciOi[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
        random: true,
    },
    Form { what: "Windlass token", begins: "wl_", whole: r"\bwl_[a-z]*_?[A-Za-z0-9]{32,}\b", random: true },
];

/// Finds secrets in the files it is shown.
pub(crate) struct Finder {
    /// Finds where any form may begin.
    begins: Regex,
    whole: Vec<Regex>,
    found: BTreeSet<Leak>,
}

impl Default for Finder {
    fn default() -> Self {
        let begins: Vec<String> = FORMS.iter().map(|form| regex::escape(form.begins)).collect();
        let compiled = |text: &str| Regex::new(text);
        // The forms are constants, and a test compiles each.
        let begins =
            compiled(&begins.join("|")).unwrap_or_else(|_| unreachable!("a constant pattern compiles"));
        let whole = FORMS.iter().filter_map(|form| compiled(&format!("^(?:{})", unbound(form.whole))).ok());
        Self { begins, whole: whole.collect(), found: BTreeSet::new() }
    }
}

/// Without the word boundary in front: the match is anchored, and what stands before it is looked at apart.
fn unbound(pattern: &str) -> &str {
    pattern.strip_prefix(r"\b").unwrap_or(pattern)
}

impl Finder {
    /// Looks through a file.
    pub(crate) fn look(&mut self, path: &str, layer: usize, removed: bool, bytes: &[u8]) {
        if self.found.len() >= MOST || documents(path) {
            return;
        }
        let mut at = 0;
        while let Some(hit) = self.begins.find_at(bytes, at) {
            at = hit.end();
            let before = hit.start().checked_sub(1).map_or(b' ', |i| bytes[i]);
            for (form, whole) in FORMS.iter().zip(&self.whole) {
                if !hit.as_bytes().starts_with(form.begins.as_bytes()) {
                    continue;
                }
                let bound = form.whole.starts_with(r"\b");
                if bound && (before.is_ascii_alphanumeric() || before == b'_') {
                    continue;
                }
                let Some(found) = whole.find(&bytes[hit.start()..]) else { continue };
                let text = String::from_utf8_lossy(found.as_bytes());
                if form.random
                    && (entropy(&text) < LEAST_ENTROPY || text.to_ascii_uppercase().contains("EXAMPLE"))
                {
                    continue;
                }
                let line = memchr::memchr_iter(b'\n', &bytes[..hit.start()]).count() + 1;
                self.found.insert(Leak {
                    path: path.to_owned(),
                    line: line as u32,
                    what: form.what.to_owned(),
                    masked: masked(&text, form),
                    layer,
                    removed,
                });
                at = hit.start() + found.end();
                break;
            }
        }
    }

    /// What was found.
    pub(crate) fn finish(self) -> Vec<Leak> {
        self.found.into_iter().take(MOST).collect()
    }
}

/// Documentation and the test data of libraries show keys that nobody uses.
fn documents(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    path.starts_with("usr/share/doc/")
        || path.starts_with("usr/share/man/")
        || (path.contains("node_modules/")
            || path.contains("/site-packages/")
            || path.contains("/dist-packages/"))
            && parts.iter().any(|p| matches!(*p, "test" | "tests" | "docs" | "doc" | "examples"))
}

/// What tells one from another without being of use: the form's beginning and two characters more.
fn masked(text: &str, form: &Form) -> String {
    if !form.random {
        let first = text.lines().next().unwrap_or_default();
        return format!("{first} ****");
    }
    let shown: String = text.chars().take(form.begins.len() + 2).collect();
    format!("{shown}****")
}

/// Shannon's entropy, in bits for each character.
fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len().max(1) as f64;
    let share = |count: &u32| f64::from(*count) / length;
    counts.iter().filter(|count| **count > 0).map(|count| -share(count) * share(count).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(String, u32, String)> {
        let mut finder = Finder::default();
        finder.look(path, 0, false, text.as_bytes());
        finder.finish().into_iter().map(|l| (l.what, l.line, l.masked)).collect()
    }

    /// Texts are put together here, so that no scanner takes this file for a leak.
    fn token(begins: &str, rest: &str) -> String {
        format!("{begins}{rest}")
    }

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(Finder::default().whole.len(), FORMS.len());
    }

    #[test]
    fn known_forms_are_found_and_masked() {
        let github = token("ghp_", "k3J9xQ2mZr7Lw8Vb1Nc4Ty6Hs0Dg5Fa2Pe8U");
        let text = format!("a\nTOKEN={github}\n");
        assert_eq!(found("srv/.env", &text), [("GitHub token".to_owned(), 2, "ghp_k3****".to_owned())]);
        let key = token("AKIA", "J5Q3XZR7TLWMVB2N");
        assert_eq!(found("x", &key)[0].0, "AWS access key");
        let pem =
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabcd\nabcd\n-----END RSA PRIVATE KEY-----\n";
        let leak = &found("root/.ssh/id_rsa", pem)[0];
        assert_eq!(
            (leak.0.as_str(), leak.2.as_str()),
            ("private key", "-----BEGIN RSA PRIVATE KEY----- ****")
        );
    }

    #[test]
    fn examples_documentation_and_parts_of_words_are_not() {
        let key = token("AKIA", "IOSFODNN7EXAMPLE");
        let same = token("ghp_", &"a".repeat(36));
        let inner = token("xghp_", "k3J9xQ2mZr7Lw8Vb1Nc4Ty6Hs0Dg5Fa2Pe8U");
        let public = "-----BEGIN PUBLIC KEY-----\nMIIB\nMIIB\n-----END PUBLIC KEY-----\n";
        let code = "if line == '-----BEGIN RSA PRIVATE KEY-----':";
        for text in [key.as_str(), &same, &inner, public, code] {
            assert!(found("x", text).is_empty(), "{text}");
        }
        let github = token("ghp_", "k3J9xQ2mZr7Lw8Vb1Nc4Ty6Hs0Dg5Fa2Pe8U");
        assert!(found("usr/share/doc/x/README", &github).is_empty());
    }
}
