//! `--chmod`: octal, or as `chmod(1)` has it (POSIX, "chmod", "Extended description").

/// A change of permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModeChange {
    /// Exactly these bits.
    Exactly(u32),
    /// Clause by clause.
    Clauses(Vec<Clause>),
}

/// `u+rw`: who, what, which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    /// The bits of those it is about.
    who: u32,
    sign: char,
    bits: u32,
    /// `X`: executable if it is a folder, or executable for somebody.
    where_sensible: bool,
    /// `u`, `g` or `o`: the bits that those have.
    copied: Option<char>,
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHER: u32 = 0o1007;

/// Reads the symbolic form.
pub(crate) fn parse(text: &str) -> Option<ModeChange> {
    let mut clauses = Vec::new();
    for clause in text.split(',') {
        let signs = clause.find(['+', '-', '='])?;
        let (who, mut rest) = clause.split_at(signs);
        let mut of = 0;
        for c in who.chars() {
            of |= match c {
                'u' => USER,
                'g' => GROUP,
                'o' => OTHER,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let who = if of == 0 { 0o7777 } else { of };
        while let Some(sign) = rest.chars().next() {
            let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
            clauses.push(read(who, sign, &rest[1..end])?);
            rest = &rest[end..];
        }
    }
    Some(ModeChange::Clauses(clauses))
}

fn read(who: u32, sign: char, letters: &str) -> Option<Clause> {
    let mut clause = Clause { who, sign, bits: 0, where_sensible: false, copied: None };
    if let "u" | "g" | "o" = letters {
        clause.copied = letters.chars().next();
        return Some(clause);
    }
    for c in letters.chars() {
        match c {
            'r' => clause.bits |= 0o444,
            'w' => clause.bits |= 0o222,
            'x' => clause.bits |= 0o111,
            'X' => clause.where_sensible = true,
            's' => clause.bits |= 0o6000,
            't' => clause.bits |= 0o1000,
            _ => return None,
        }
    }
    Some(clause)
}

impl ModeChange {
    /// The mode that comes of `mode`.
    pub(crate) fn apply(&self, mode: u32, folder: bool) -> u32 {
        let clauses = match self {
            Self::Exactly(bits) => return bits & 0o7777,
            Self::Clauses(clauses) => clauses,
        };
        clauses.iter().fold(mode, |mode, clause| {
            let mut bits = clause.bits;
            if clause.where_sensible && (folder || mode & 0o111 != 0) {
                bits |= 0o111;
            }
            if let Some(whose) = clause.copied {
                let three = match whose {
                    'u' => mode >> 6,
                    'g' => mode >> 3,
                    _ => mode,
                } & 0o7;
                bits = three * 0o111;
            }
            // The sticky bit is nobody's: it may be named with anybody.
            let sticky = bits & 0o1000;
            let bits = bits & clause.who | sticky;
            match clause.sign {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => mode & !(clause.who & 0o777 | clause.who & 0o6000) | bits,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_do_what_chmod_does() {
        for (text, before, folder, after) in [
            ("u=rwX,go=rX", 0o644, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o777, false, 0o555),
            ("u+s", 0o755, false, 0o4755),
            ("g+s", 0o755, true, 0o2755),
            ("o+t", 0o755, true, 0o1755),
            ("g=u", 0o640, false, 0o660),
            ("o=g-w", 0o660, false, 0o664),
            ("u=,g=,o=", 0o777, false, 0),
            ("=r", 0o777, false, 0o444),
        ] {
            assert_eq!(parse(text).unwrap().apply(before, folder), after, "{text} {before:o}");
        }
        for bad in ["", "u", "z+x", "u+q", "755", "u=r,"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
