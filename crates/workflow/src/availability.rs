//! Which contexts and functions an expression may name at a key of the file.

/// A set of contexts, and of the functions that are not available everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Availability(u32);

/// The functions that ask how the run is going.
const STATUS_FUNCTIONS: [&str; 4] = ["success", "failure", "always", "cancelled"];
const STATUS_BIT: u32 = 1 << 16;
const HASH_FILES_BIT: u32 = 1 << 17;

impl Availability {
    /// Every context that there is, in the order in which they are listed to people.
    pub const CONTEXTS: [&'static str; 12] = [
        "github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner",
        "env", "jobs",
    ];

    /// No expression at all: the text must be literal.
    pub const LITERAL: Self = Self(0);
    /// `needs`
    pub const NEEDS: Self = Self(1 << 3);
    /// `secrets`
    pub const SECRETS: Self = Self(1 << 6);
    /// `env`
    pub const ENV: Self = Self(1 << 10);
    /// `jobs`
    pub const JOBS: Self = Self(1 << 11);
    /// The functions `success`, `failure`, `always`, `cancelled`.
    pub const STATUS: Self = Self(STATUS_BIT);
    /// The function `hashFiles`.
    pub const HASH_FILES: Self = Self(HASH_FILES_BIT);
    /// What is known when the run begins: `github`, `inputs`, `vars`.
    pub const RUN: Self = Self(0b111);
    /// What is known when the jobs that a job needs have ended.
    pub const AFTER_NEEDS: Self = Self::RUN.with(Self::NEEDS);
    /// What is known of a leg of the matrix.
    pub const LEG: Self = Self::AFTER_NEEDS.with(Self(0b11 << 4));
    /// What is known within a job that runs.
    pub const JOB: Self = Self::LEG.with(Self::SECRETS).with(Self::ENV).with(Self(0b111 << 7));
    /// Within a step.
    pub const STEP: Self = Self::JOB.with(Self::HASH_FILES);
    /// A step's condition.
    pub const STEP_IF: Self = Self::STEP.without(Self::SECRETS).with(Self::STATUS);
    /// Within a step of a composite action: its inputs, no `vars`, no secrets, no `needs`.
    pub const COMPOSITE: Self = Self::STEP.without(Self::SECRETS).without(Self::NEEDS).without(Self(1 << 2));
    /// The condition of a step of a composite action.
    pub const COMPOSITE_IF: Self = Self::COMPOSITE.with(Self::STATUS);
    /// The value of a composite action's output.
    pub const COMPOSITE_OUTPUT: Self = Self::COMPOSITE.without(Self::HASH_FILES);
    /// The default of an action's input.
    pub const ACTION_DEFAULT: Self = Self(1 | 0b11 << 4 | 0b11 << 8).with(Self::HASH_FILES);
    /// An action's `runs.args` and `runs.env`: its inputs only.
    pub const ACTION_INPUTS: Self = Self(1 << 1);

    /// Both sets.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the other.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether no expression may stand there.
    pub const fn is_literal(self) -> bool {
        self.0 == 0
    }

    /// The contexts of the set.
    pub fn contexts(self) -> impl Iterator<Item = &'static str> {
        let in_set = move |(bit, _): &(usize, &&str)| self.0 & (1 << bit) != 0;
        Self::CONTEXTS.iter().enumerate().filter(in_set).map(|(_, name)| *name)
    }

    /// Whether a context may be named; its name ignores case.
    pub fn allows_context(self, name: &str) -> bool {
        self.contexts().any(|context| context.eq_ignore_ascii_case(name))
    }

    /// Whether a function may be called. The set says nothing of those that are available everywhere.
    pub fn allows_function(self, name: &str) -> bool {
        if STATUS_FUNCTIONS.iter().any(|function| function.eq_ignore_ascii_case(name)) {
            return self.0 & STATUS_BIT != 0;
        }
        !name.eq_ignore_ascii_case("hashFiles") || self.0 & HASH_FILES_BIT != 0
    }

    /// The functions of the set that are not available everywhere.
    pub fn functions(self) -> impl Iterator<Item = &'static str> {
        let hash = (self.0 & HASH_FILES_BIT != 0).then_some("hashFiles");
        let status = if self.0 & STATUS_BIT != 0 { &STATUS_FUNCTIONS[..] } else { &[] };
        hash.into_iter().chain(status.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(set: Availability) -> String {
        set.contexts().chain(set.functions()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_named_sets_are_what_the_language_says() {
        for (set, wanted) in [
            (Availability::LITERAL, ""),
            (Availability::RUN, "github inputs vars"),
            (
                Availability::AFTER_NEEDS.with(Availability::STATUS),
                "github inputs vars needs success failure always cancelled",
            ),
            (Availability::LEG, "github inputs vars needs strategy matrix"),
            (Availability::JOB, "github inputs vars needs strategy matrix secrets steps job runner env"),
            (
                Availability::STEP_IF,
                "github inputs vars needs strategy matrix steps job runner env hashFiles success failure always cancelled",
            ),
            (Availability::COMPOSITE, "github inputs strategy matrix steps job runner env hashFiles"),
            (Availability::ACTION_DEFAULT, "github strategy matrix job runner hashFiles"),
            (Availability::ACTION_INPUTS, "inputs"),
        ] {
            assert_eq!(names(set), wanted);
        }
    }

    #[test]
    fn both_halves_of_the_language_know_the_same_contexts() {
        let mut expected = crate::expr::CONTEXTS;
        let mut own = Availability::CONTEXTS;
        expected.sort_unstable();
        own.sort_unstable();
        assert_eq!(own, expected);
    }

    #[test]
    fn names_ignore_case() {
        assert!(Availability::STEP.allows_context("GitHub"));
        assert!(!Availability::RUN.allows_context("secrets"));
        assert!(Availability::STEP.allows_function("HASHFILES"));
        assert!(!Availability::RUN.allows_function("hashFiles"));
        assert!(!Availability::STEP.allows_function("Success"));
        assert!(Availability::RUN.allows_function("fromJSON"));
    }
}
