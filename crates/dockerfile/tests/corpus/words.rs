//! Random words and files, from pieces that mean something; the same ones each time.

/// A source of numbers that look random.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    /// One of some.
    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Pieces of words that BuildKit of every age reads in the same way.
const PIECES: [&str; 30] = [
    "a",
    "b",
    "$A",
    "${A}",
    "$B",
    "${EMPTY}",
    "$NOPE",
    "${A:-x}",
    "${NOPE:-y}",
    "${EMPTY:-$A}",
    "${A:+z}",
    "${NOPE:+q}",
    "${NOPE:-'s'}",
    "'$A'",
    "\"$A\"",
    "\"\"",
    "''",
    "\\$A",
    "\\\\",
    "\\a",
    "\"\\$A\"",
    "\"\\a\"",
    "'\\'",
    "$",
    ".",
    "/",
    "${NOPE:-${EMPTY:-deep}}",
    "é",
    "\"a b\"",
    "a\\ b",
];

/// A word of some pieces.
pub(crate) fn word(dice: &mut Dice) -> String {
    (0..=dice.below(5)).map(|_| dice.one(&PIECES)).collect()
}

/// A file without programs: only what changes the configuration.
pub(crate) fn file(dice: &mut Dice) -> String {
    let mut text = String::from("ARG G=global\nFROM scratch AS one\n");
    for _ in 0..3 + dice.below(12) {
        let line = match dice.below(16) {
            0 => format!("ENV {}={}", dice.one(&["A", "B", "EMPTY"]), word(dice)),
            1 => format!("ENV A {} {}", word(dice), word(dice)),
            2 => format!("ENV A={} B={}", word(dice), word(dice)),
            3 => format!("ARG {}={}", dice.one(&["A", "NOPE", "Z"]), word(dice)),
            4 => format!("ARG {}", dice.one(&["G", "A", "GIVEN", "NOPE"])),
            5 => format!("LABEL l={} m={}", word(dice), word(dice)),
            6 => format!(
                "WORKDIR {}{}",
                dice.one(&["/", "", "../", "/x/"]),
                dice.one(&["w", "$A", "a/b", "${NOPE:-n}"])
            ),
            7 => format!("MAINTAINER {}", word(dice)),
            8 => format!(
                "EXPOSE {} {}",
                dice.one(&["80", "53/udp", "7-9", "${NOPE:-1}"]),
                dice.one(&["90", "$NOPE", "22/tcp"])
            ),
            9 => format!("VOLUME /{} {}", word(dice).replace(' ', ""), dice.one(&["/b", "[\"x\"]"])),
            10 => format!("CMD {}", dice.one(&["a b $A", "[\"a\", \"$A\"]", "[\"a\" b", "[]"])),
            11 => format!("ENTRYPOINT {}", dice.one(&["a b", "[\"e\"]", "['e']"])),
            12 => format!(
                "HEALTHCHECK {}",
                dice.one(&["NONE", "--interval=5s --retries=2 CMD x y", "CMD [\"a\"]", "--timeout=1m CMD z"])
            ),
            13 => format!("STOPSIGNAL {}", dice.one(&["9", "SIGTERM", "${NOPE:-SIGINT}"])),
            14 => "SHELL [\"/bin/x\", \"-c\"]".to_owned(),
            _ => format!("ONBUILD {}", dice.one(&["LABEL o=$A", "ENV O=1", "CMD [\"o\"]"])),
        };
        text.push_str(&line.replace(' ', dice.one(&[" ", " ", " \\\n  ", " \\\n# c\n"])));
        text.push('\n');
        if dice.below(9) == 0 {
            text.push_str("FROM one\nARG LATER=$A\n");
        }
    }
    // At the end: BuildKit looks for the user of a WORKDIR in the image.
    text.push_str(&format!("USER u{}\n", word(dice)));
    text
}
