use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::Masker;

fn stream(masker: &mut Masker, chunks: &[&[u8]]) -> String {
    let mut out = Vec::new();
    for chunk in chunks {
        masker.mask_chunk(chunk, &mut out);
    }
    masker.finish(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_cases() {
    let cases: &[(&[&str], &str, &str)] = &[
        (&["hunter2"], "the password is hunter2!", "the password is ***!"),
        (&["hunter2"], "hunter hunter2hunter2 2", "hunter *** 2"),
        (&["abc", "abcdef"], "xabcdefx abcx", "x***x ***x"),
        (&["abc", "cde"], "abcde", "***"),
        (&["aab"], "aaaab", "aa***"),
        (&[], "nothing to hide", "nothing to hide"),
        (&["", " ", "\n"], "a b\nc", "a b\nc"),
        (&["line one\nline two"], "line one\nline two\nline three", "***\n***\nline three"),
        (&["\"quoted\""], "quoted and \"quoted\"", "*** and ***"),
        (&["häß"], "das häßliche", "das ***liche"),
        (&["x"], "axa", "a***a"),
    ];
    for (secrets, text, expected) in cases {
        let masker = Masker::new(secrets.iter().copied());
        assert_eq!(masker.mask_text(text), *expected, "{secrets:?}");
        assert_eq!(masker.contains_secret(text), text != expected, "{secrets:?}");
    }
}

#[test]
fn every_form_is_masked() {
    let secret = r#"p&ss'w"rd $1/é+<x>\end"#;
    let masker = Masker::new([secret]);
    let forms = [
        "p&amp;ss&apos;w&quot;rd $1/é+&lt;x&gt;\\end",
        "p&amp;ss&#39;w&#34;rd $1/é+&lt;x&gt;\\end",
        r#"p&ss'w\"rd $1/é+<x>\\end"#,
        r#"p\u0026ss'w\"rd $1/é+\u003cx\u003e\\end"#,
        r#"p&ss'w\"rd $1/\u00e9+<x>\\end"#,
        r#"p&ss''w"rd $1/é+<x>\end"#,
        r#"p&ss'\''w"rd $1/é+<x>\end"#,
        r#"p\&ss\'w\"rd\ \$1/é+\<x\>\\end"#,
        "p%26ss%27w%22rd%20%241%2F%C3%A9%2B%3Cx%3E%5Cend",
        "p%26ss%27w%22rd+%241%2F%C3%A9%2B%3Cx%3E%5Cend",
        "p%26ss%27w%22rd%20%241%2f%c3%a9%2b%3cx%3e%5cend",
    ];
    for form in forms {
        assert_eq!(masker.mask_text(&format!("[{form}]")), "[***]", "{form}");
    }
}

#[test]
fn base64_is_masked_at_every_offset_and_wrapped() {
    let secret = "correct horse battery staple>>>???";
    let masker = Masker::new([secret]);
    for before in 0..6 {
        for after in 0..4 {
            let text = format!("{}{secret}{}", "~".repeat(before), "~".repeat(after));
            for encoded in [STANDARD.encode(&text), URL_SAFE.encode(&text)] {
                let masked = masker.mask_text(&encoded);
                assert!(masked.contains("***"), "{before} {after}");
                // Only the neighbours' characters are left, and those that they share with the secret.
                let left = masked.replace("***", "").trim_end_matches('=').len();
                assert!(
                    left <= (before * 8).div_ceil(6) + (after * 8).div_ceil(6) + 1,
                    "{before} {after}: {masked}"
                );
            }
        }
    }
    let long = "0123456789abcdefghijklmnopqrstuvwxyz".repeat(5);
    let encoded = STANDARD.encode(&long);
    let mut lines = String::new();
    for (i, c) in encoded.chars().enumerate() {
        if i > 0 && i % 76 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    let masked = Masker::new([long.as_str()]).mask_text(&lines);
    assert!(masked.lines().all(|l| l == "***"), "{masked}");
}

#[test]
fn a_secret_added_late_is_masked_even_if_its_beginning_was_held_back() {
    let mut masker = Masker::new(["token-one"]);
    let mut out = Vec::new();
    masker.mask_chunk(b"a token-", &mut out);
    masker.add("token-two");
    masker.mask_chunk(b"two and token-one", &mut out);
    masker.finish(&mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "a *** and ***");
}

#[test]
fn what_is_held_back_is_bounded_by_the_longest_secret() {
    let mut masker = Masker::new(["aaaaaaaaab"]);
    let mut out = Vec::new();
    masker.mask_chunk(&vec![b'a'; 1 << 20], &mut out);
    assert_eq!((1 << 20) - out.len(), 9);
    assert!(masker.stream.held.capacity() < 64);
}

#[test]
fn neither_debug_nor_a_clone_of_the_stream_tells() {
    let mut masker = Masker::new(["hunter2"]);
    let mut out = Vec::new();
    masker.mask_chunk(b"hunt", &mut out);
    assert!(!format!("{masker:?}").contains("hunt"));
    let mut clone = masker.clone();
    assert_eq!(stream(&mut masker, &[b"er2"]), "***");
    assert_eq!(stream(&mut clone, &[b"ed"]), "hunted");
}

proptest! {
    #[test]
    fn no_secret_survives_and_the_cuts_do_not_matter(
        secrets in proptest::collection::vec("[abc]{1,6}|[a-c&' \n\"é]{2,8}", 1..5),
        words in proptest::collection::vec((any::<prop::sample::Index>(), "[abcd\n ]{0,5}"), 0..12),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let masker = Masker::new(secrets.iter().map(String::as_str));
        let text: String = words.iter().flat_map(|(i, w)| [i.get(&secrets).as_str(), w]).collect();
        let whole = masker.mask_text(&text);
        for secret in secrets.iter().filter(|s| !s.trim().is_empty()) {
            prop_assert!(!whole.contains(secret.as_str()), "{secret:?} shows in {whole:?}");
            for line in secret.lines().filter(|l| !l.trim().is_empty()) {
                prop_assert!(!whole.contains(line), "{line:?} shows in {whole:?}");
            }
        }
        prop_assert!(!masker.contains_secret(&whole));

        let bytes = text.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        let mut cut = masker.clone();
        prop_assert_eq!(stream(&mut cut, &chunks), whole);
    }
}
