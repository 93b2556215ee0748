//! How a command ends: the exit codes, which are part of the interface, and the failures that carry one.

use windlass_api::{ClientError, ErrorCode};

/// The exit codes, as `--help` and `docs/reference/cli.md` tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It went as it should.
    Done = 0,
    /// It did not.
    Failed = 1,
    /// The command line is not right.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// The caller is not known or not allowed.
    Refused = 4,
    /// Nothing answers.
    Unreachable = 5,
}

/// The codes in words, below every `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 refused (not signed in, or not allowed), \
5 Windlass cannot be reached.";

/// A failure with a code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with this code and this explanation.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The command line is not right.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What was named does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }
}

/// The code that an error ends the process with.
pub(crate) fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.exit;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => Exit::Unreachable,
        Some(ClientError::Refused(problem)) => match problem.code {
            ErrorCode::NotFound => Exit::NotFound,
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => Exit::Refused,
            ErrorCode::Unavailable => Exit::Unreachable,
            _ => Exit::Failed,
        },
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use windlass_api::Problem;

    use super::*;

    #[test]
    fn every_kind_of_refusal_has_its_code() {
        let cases = [
            (ErrorCode::NotFound, Exit::NotFound),
            (ErrorCode::Unauthenticated, Exit::Refused),
            (ErrorCode::Forbidden, Exit::Refused),
            (ErrorCode::Unavailable, Exit::Unreachable),
            (ErrorCode::Conflict, Exit::Failed),
            (ErrorCode::Invalid, Exit::Failed),
        ];
        for (code, exit) in cases {
            let error = anyhow::Error::from(ClientError::Refused(Problem::new(code, "x")));
            assert_eq!(exit_of(&error), exit, "{code:?}");
        }
    }

    #[test]
    fn a_code_is_found_below_what_was_added_to_the_message() {
        let error: anyhow::Error = Err::<(), _>(Failure::usage("no")).context("while trying").unwrap_err();
        assert_eq!(exit_of(&error), Exit::Usage);
        let gone = ClientError::Unreachable { url: "http://x".into(), why: "refused".into() };
        assert_eq!(exit_of(&anyhow::Error::from(gone)), Exit::Unreachable);
        assert_eq!(exit_of(&anyhow::anyhow!("plain")), Exit::Failed);
    }
}
