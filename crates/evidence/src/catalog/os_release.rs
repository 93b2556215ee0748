//! `os-release` (the file format of systemd's manual, which distributions without it have as well).

use crate::package::Os;

pub(super) fn read(text: &str) -> Os {
    let mut os = Os::default();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once('=') else { continue };
        let value = unquoted(value);
        match name {
            "ID" => os.id = value,
            "VERSION_ID" => os.version = value,
            "PRETTY_NAME" => os.name = value,
            _ => {}
        }
    }
    os
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\'']
        .into_iter()
        .find_map(|quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)));
    inner.unwrap_or(value).chars().filter(|c| *c != '\\' && !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_taken_off() {
        let os =
            read("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\n# x\nODD\n");
        assert_eq!((os.id.as_str(), os.version.as_str()), ("debian", "12"));
        assert_eq!(os.name, "Debian GNU/Linux 12 (bookworm)");
    }
}
