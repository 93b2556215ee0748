//! The forms in which a secret shows when programs quote, encode or cut it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Shorter encoded forms would mask text that has nothing to do with the secret.
const SHORTEST_ENCODED: usize = 4;
/// Parts of a command line that PowerShell prints on their own are masked from this length on.
const SHORTEST_PART: usize = 6;
/// Where `base64` (76) and PEM writers (64) break their lines.
const LINE_LENGTHS: [usize; 2] = [76, 64];

/// Adds `value`, its lines, and the forms of each of them to `patterns`. No pattern holds a line break: logs keep their lines.
pub(super) fn of(value: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    if value.trim().is_empty() {
        return;
    }
    forms(value, patterns);
    if value.contains(['\r', '\n']) {
        for line in value.split(['\r', '\n']) {
            forms(line, patterns);
        }
    }
}

fn forms(value: &str, patterns: &mut BTreeSet<Vec<u8>>) {
    if value.trim().is_empty() {
        return;
    }
    let mut add = |form: &str| {
        // A value of several lines is masked line by line.
        if !form.trim().is_empty() && !form.contains(['\r', '\n']) {
            patterns.insert(form.as_bytes().to_vec());
        }
    };
    add(value);
    let trimmed = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = trimmed.strip_prefix(quote).and_then(|v| v.strip_suffix(quote)) {
            add(inner);
        }
    }
    json(value, &mut add);
    uri(value, &mut add);
    add(&escape(value, &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&apos;")]));
    add(&escape(value, &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")]));
    add(&escape(value, &[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")]));
    add(&value.replace('\'', "''"));
    shell(value, &mut add);
    power_shell(value, &mut add);
    base64_forms(value.as_bytes(), &mut add);
}

fn escape(value: &str, table: &[(char, &str)]) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match table.iter().find(|(from, _)| *from == c) {
            Some((_, to)) => out.push_str(to),
            None => out.push(c),
        }
    }
    out
}

fn json(value: &str, add: &mut impl FnMut(&str)) {
    let Ok(quoted) = serde_json::to_string(value) else { return };
    let inner = &quoted[1..quoted.len() - 1];
    add(inner);
    add(&inner.replace('/', "\\/"));
    // As writers that keep JSON safe inside HTML do.
    add(&escape(inner, &[('&', "\\u0026"), ('<', "\\u003c"), ('>', "\\u003e")]));
    add(&escape(
        inner,
        &[('&', "\\u0026"), ('<', "\\u003C"), ('>', "\\u003E"), ('\'', "\\u0027"), ('+', "\\u002B")],
    ));
    let mut ascii = String::with_capacity(inner.len());
    for c in inner.chars() {
        if c.is_ascii() {
            ascii.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| ascii.push_str(&format!("\\u{unit:04x}")));
        }
    }
    add(&ascii);
}

fn uri(value: &str, add: &mut impl FnMut(&str)) {
    let percent = |keep: &[u8], space: &str, upper: bool| {
        let mut out = String::with_capacity(value.len());
        for b in value.bytes() {
            match b {
                b' ' => out.push_str(space),
                b if b.is_ascii_alphanumeric() || keep.contains(&b) => out.push(b as char),
                b if upper => out.push_str(&format!("%{b:02X}")),
                b => out.push_str(&format!("%{b:02x}")),
            }
        }
        out
    };
    for upper in [true, false] {
        add(&percent(b"-_.~", "%20", upper));
        add(&percent(b"-_.~", "+", upper));
        add(&percent(b"-_.!~*'()", "%20", upper));
        add(&percent(b"-_.!~*'();,/?:@&=+$#", "%20", upper));
    }
}

fn shell(value: &str, add: &mut impl FnMut(&str)) {
    add(&value.replace('"', "\\\""));
    add(&value.replace('\'', "'\\''"));
    add(&value.replace('\'', "'\"'\"'"));
    add(&escape(value, &[('"', "\\\""), ('\\', "\\\\"), ('$', "\\$"), ('`', "\\`")]));
    // As `printf %q` and `set -x` write a word.
    let mut word = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_./:=@%+".contains(c) {
            word.push('\\');
        }
        word.push(c);
    }
    add(&word);
}

/// `PowerShell` prints the parts around an ampersand separately when a command fails.
fn power_shell(value: &str, add: &mut impl FnMut(&str)) {
    if let Some(at) = value.rfind('&') {
        for part in [&value[..=at], &value[at + 1..]] {
            if part.trim().len() >= SHORTEST_PART {
                add(part);
            }
        }
    }
}

/// In base64 a value looks different at each of the three places where it may begin within a group of three bytes.
/// The characters that also depend on its neighbours are left out; with its padding, where nothing follows, it is whole.
fn base64_forms(value: &[u8], add: &mut impl FnMut(&str)) {
    for before in 0..3 {
        let mut group = vec![0; before];
        group.extend_from_slice(value);
        let whole = STANDARD.encode(&group);
        let (begin, end) = ((before * 8).div_ceil(6), group.len() * 8 / 6);
        if end < begin + SHORTEST_ENCODED {
            continue;
        }
        for form in [&whole[begin..end], whole[begin..].trim_end_matches('='), &whole[begin..]] {
            add(form);
            add(&form.replace('+', "-").replace('/', "_"));
        }
        if before == 0 {
            for line in LINE_LENGTHS.into_iter().filter(|line| *line < end) {
                wrapped(&whole, line, add);
            }
        }
    }
}

fn wrapped(encoded: &str, line: usize, add: &mut impl FnMut(&str)) {
    let mut rest = encoded;
    while rest.len() > line {
        let (piece, tail) = rest.split_at(line);
        add(piece);
        rest = tail;
    }
    if rest.len() >= SHORTEST_ENCODED * 2 {
        add(rest);
    }
}
