//! What is known before the first stage: the automatic arguments and the `ARG`s in front of the first `FROM`.

use super::Options;
use crate::ast::{Command, Dockerfile};
use crate::diagnostic::suggest;
use crate::expand::{Lexer, Variables};
use crate::{Diagnostic, Word};

/// The arguments that are there without being declared: proxies. They are in the environment of what is run, and in
/// no cache's key and no history unless an `ARG` declares them.
pub const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The arguments about platforms: `FROM` knows them, a stage after `ARG NAME`.
pub const AUTOMATIC: [&str; 9] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// The global scope, with or without the arguments that the build was given.
pub(crate) fn globals(file: &Dockerfile, options: &Options, given: bool) -> Result<Variables, Diagnostic> {
    let mut variables = automatic(file, options, given);
    let lexer = Lexer::new(file.directives.escape);
    for instruction in &file.globals {
        let Command::Arg(arguments) = &instruction.command else { continue };
        for argument in arguments {
            let name = argument.name.text.as_str();
            let value = match options.build_args.get(name).filter(|_| given) {
                Some(value) => Some(value.clone()),
                None => match &argument.default {
                    Some(default) => Some(expand(default, lexer, &variables)?.text),
                    None => None,
                },
            };
            if let Some(value) = value {
                variables.set(name, &value);
            }
        }
    }
    Ok(variables)
}

fn automatic(file: &Dockerfile, options: &Options, given: bool) -> Variables {
    let last = file.stages.last().and_then(|stage| stage.name.as_ref());
    let target = options.target.clone().or_else(|| last.map(|name| name.text.to_lowercase()));
    let (build, wanted) = (&options.build_platform, &options.platform);
    let values = [
        build.to_string(),
        build.os.clone(),
        build.architecture.clone(),
        build.variant.clone().unwrap_or_default(),
        wanted.to_string(),
        wanted.os.clone(),
        wanted.architecture.clone(),
        wanted.variant.clone().unwrap_or_default(),
        target.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
    ];
    let given = |name: &str| options.build_args.get(name).filter(|_| given);
    AUTOMATIC
        .iter()
        .zip(&values)
        .map(|(name, value)| (*name, given(name).unwrap_or(value).as_str()))
        .collect()
}

/// Expands a word, and says where it stands if that cannot be.
pub(crate) fn expand(
    word: &Word,
    lexer: Lexer,
    variables: &Variables,
) -> Result<crate::expand::Expansion, Diagnostic> {
    lexer.expand(&word.text, variables).map_err(|error| Diagnostic::error(word.span, error.to_string()))
}

/// An error about a word whose variables may be at fault: with a name that is near to one that is missing.
pub(super) fn blame(
    word: &Word,
    message: String,
    missing: &std::collections::BTreeSet<String>,
    known: &Variables,
) -> Diagnostic {
    let finding = Diagnostic::error(word.span, message);
    for name in missing {
        if let Some(near) = suggest(name, known.names()) {
            return finding.with_help(format!("'{name}' is not set: did you mean '{near}'?"));
        }
    }
    match missing.first() {
        Some(name) => {
            finding.with_help(format!("'{name}' is not set: declare it with ARG before the first FROM"))
        }
        None => finding,
    }
}
