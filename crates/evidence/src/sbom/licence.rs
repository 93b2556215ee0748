//! Whether a licence's name is one that SPDX knows: the formats take others only as free text.

/// The names that packages use, of SPDX's list.
const KNOWN: &[&str] = &[
    "0BSD",
    "AFL-2.1",
    "AFL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.1",
    "Apache-2.0",
    "APSL-2.0",
    "Artistic-1.0",
    "Artistic-2.0",
    "BlueOak-1.0.0",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-3-Clause",
    "BSD-4-Clause",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CDDL-1.1",
    "CPL-1.0",
    "curl",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.2",
    "FSFAP",
    "FTL",
    "GFDL-1.2-only",
    "GFDL-1.2-or-later",
    "GFDL-1.3-only",
    "GFDL-1.3-or-later",
    "GPL-1.0-only",
    "GPL-1.0-or-later",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "HPND",
    "ICU",
    "IJG",
    "ISC",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "Libpng",
    "libtiff",
    "MIT",
    "MIT-0",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "OFL-1.1",
    "OpenSSL",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "Ruby",
    "Sleepycat",
    "TCL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "UPL-1.0",
    "Vim",
    "W3C",
    "WTFPL",
    "X11",
    "Zlib",
    "ZPL-2.0",
    "ZPL-2.1",
];

/// How SPDX knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The name of one licence.
    Id,
    /// Several, joined by `AND` and `OR`.
    Expression,
    /// Not at all.
    No,
}

pub(super) fn known(text: &str) -> Known {
    if KNOWN.contains(&text) {
        return Known::Id;
    }
    // Licence, operator, licence, …: no parentheses, no exceptions.
    let words: Vec<&str> = text.split(' ').collect();
    let fits = words.len() >= 3
        && words.len() % 2 == 1
        && words.iter().enumerate().all(|(i, word)| match i % 2 {
            0 => KNOWN.contains(word),
            _ => matches!(*word, "AND" | "OR"),
        });
    if fits { Known::Expression } else { Known::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_expressions_are_told_apart_from_free_text() {
        let cases = [
            ("MIT", Known::Id),
            ("MIT OR Apache-2.0", Known::Expression),
            ("MIT OR", Known::No),
            ("MIT, BSD", Known::No),
            ("Apache 2.0", Known::No),
            ("", Known::No),
        ];
        for (text, expected) in cases {
            assert_eq!(known(text), expected, "{text}");
        }
    }
}
