//! Flow collections (`[…]`, `{…}`) whose later lines are indented less than the block around them.
//!
//! YAML 1.2 wants such lines indented (chapter 7.4), and so does the parser; GitHub's reads them, and published
//! workflows have them. Within a flow collection a line break is as good as a space: so it becomes one, and every byte
//! keeps its place.

/// How often one text is mended at most: each time it is read anew.
pub(super) const MOST: usize = 64;

/// The text with the line that begins at byte `at` (after its indentation) joined to the line before it.
pub(super) fn joined(text: &str, at: usize) -> Option<String> {
    let start = text[..at].rfind(['\n', '\r']).map_or(0, |found| found + 1);
    if start == 0 || !text[start..at].bytes().all(|byte| byte == b' ') {
        return None;
    }
    let end = if text[..start].ends_with("\r\n") { start - 2 } else { start - 1 };
    let line = text[..end].rfind(['\n', '\r']).map_or(0, |found| found + 1);
    let kept = line + comment(&text[line..end]).unwrap_or(end - line);
    let mut mended = String::with_capacity(text.len());
    mended.push_str(&text[..kept]);
    mended.extend(std::iter::repeat_n(' ', start - kept));
    mended.push_str(&text[start..]);
    Some(mended)
}

/// Where a line's comment begins: a `#` behind white space that is in no quotes.
fn comment(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, b'\'' | b'"') => quote = Some(bytes[at]),
            (None, b'#') if at == 0 || bytes[at - 1].is_ascii_whitespace() => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::joined;
    use crate::yaml::{Limits, Source, load};

    #[test]
    fn every_byte_keeps_its_place() {
        let text = "a:\n  b: [ # é\r\n    1,\r\n  ]\nc: 2\n";
        let at = text.find(']').unwrap();
        let mended = joined(text, at).unwrap();
        assert_eq!(mended, "a:\n  b: [ # é\r\n    1,    ]\nc: 2\n");
        let at = mended.find('1').unwrap();
        assert_eq!(joined(&mended, at).unwrap(), "a:\n  b: [           1,    ]\nc: 2\n");
        assert_eq!(joined("[]", 0), None);
    }

    #[test]
    fn flow_collections_that_end_further_left_are_read() {
        for (text, deepest) in [
            ("a:\n  b:\n    c: [\n      x, # é\n\n      # more\n    y\n  ]\n", "y"),
            ("a:\n  b:\n    - [\n      x, 'it # is'\n    ]\n    - {\n  k: z\n  }\n", "z"),
        ] {
            let root = load(&Source::new(text), &Limits::WORKFLOW)
                .unwrap_or_else(|found| panic!("{text}: {found:?}"));
            let shown = format!("{root:?}");
            let place = text.find(&format!("{deepest}\n")).unwrap();
            assert!(shown.contains(&format!("text: {deepest:?}")), "{shown}");
            assert!(shown.contains(&format!("offset: {place}")), "{shown}");
        }
        let wrong = load(&Source::new("a:\n  b: [\n 1,\n"), &Limits::WORKFLOW).unwrap_err();
        assert_eq!(wrong[0].span.start.line, 3, "{wrong:?}");
    }
}
