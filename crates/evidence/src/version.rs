//! In which order versions come: each ecosystem has rules of its own, and to compare by another's is to say "fixed"
//! of what is not.

mod apk;
mod dpkg;
mod gem;
mod maven;
mod pep440;
mod rpm;
mod semver;

use std::cmp::Ordering;

use crate::package::Kind;

/// The order of two versions of a kind of package; none if one of them cannot be read.
pub fn compare(kind: Kind, one: &str, other: &str) -> Option<Ordering> {
    match kind {
        Kind::Deb => Some(dpkg::compare(one, other)),
        Kind::Apk => apk::compare(one, other),
        Kind::Rpm => Some(rpm::compare(one, other)),
        Kind::Pypi => pep440::compare(one, other),
        Kind::Npm | Kind::Cargo | Kind::Golang => semver::compare(one, other),
        Kind::Maven => Some(maven::compare(one, other)),
        // No advisories are told by their order.
        Kind::Conda => None,
        Kind::Gem => gem::compare(one, other),
    }
}

/// The order of two numbers written as digits, of any length.
pub(crate) fn digits(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn sign(order: Option<Ordering>) -> char {
        match order {
            Some(Ordering::Less) => '<',
            Some(Ordering::Equal) => '=',
            Some(Ordering::Greater) => '>',
            None => '?',
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived_and_orders_are_the_same_from_both_sides(
            a in "[0-9a-z.~+:_!v-]{0,12}", b in "[0-9a-z.~+:_!v-]{0,12}"
        ) {
            for kind in Kind::ALL {
                let there = compare(kind, &a, &b);
                prop_assert_eq!(there, compare(kind, &b, &a).map(Ordering::reverse), "{:?}", kind);
            }
        }
    }
}
