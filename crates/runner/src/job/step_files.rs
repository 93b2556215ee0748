//! The environment files of one step: made fresh before it, read after it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::declared::{self, Declared};
use crate::env_file;
use crate::place::Place;
use crate::transcript::{Effects, Voice};

/// The largest summary of a step.
const LARGEST_SUMMARY: u64 = 1 << 20;
/// The largest of the other files: beyond it, something is wrong.
const LARGEST: u64 = 16 << 20;

/// What people call the file of a variable.
fn called(variable: &str) -> String {
    variable.trim_start_matches("GITHUB_").to_ascii_lowercase()
}

/// Each file's variable and the beginning of its name.
const FILES: [(&str, &str); 7] = [
    ("GITHUB_ENV", "set_env"),
    ("GITHUB_OUTPUT", "set_output"),
    ("GITHUB_STATE", "save_state"),
    ("GITHUB_PATH", "add_path"),
    ("GITHUB_STEP_SUMMARY", "step_summary"),
    ("GITHUB_ARTIFACTS", "artifacts"),
    (LIST, "artifacts_list"),
];
/// The one that is only read.
const LIST: &str = "GITHUB_ARTIFACTS_LIST";

/// The files of one step.
pub(crate) struct StepFiles {
    paths: BTreeMap<&'static str, PathBuf>,
}

impl StepFiles {
    /// Makes them, empty but for what was declared before the step.
    pub(super) fn create(place: &Place, serial: u32, declared: &Declared) -> io::Result<Self> {
        let mut paths = BTreeMap::new();
        for (variable, stem) in FILES {
            let path = place.layout.commands.join(format!("{stem}_{serial}"));
            let text = if variable == LIST { declared.list() } else { String::new() };
            place.write(&path, text.as_bytes())?;
            paths.insert(variable, path);
        }
        Ok(Self { paths })
    }

    /// The variables that name them.
    pub(crate) fn env(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.paths.iter().map(|(name, path)| ((*name).to_owned(), path.to_string_lossy().into_owned()))
    }

    /// Reads what the step wrote into them. Gives its summary. What is wrong fails the step.
    pub(crate) fn collect(&self, place: &Place, voice: &Voice, effects: &mut Effects) -> Option<String> {
        let fail = |variable: &str, why: String| {
            voice.error(&format!("Unable to process file command '{}' successfully.", called(variable)));
            voice.error(&why);
            why
        };
        let mut first = None;
        for (variable, kept) in [
            ("GITHUB_ENV", &mut effects.env),
            ("GITHUB_OUTPUT", &mut effects.outputs),
            ("GITHUB_STATE", &mut effects.state),
        ] {
            let pairs = self.pairs(place, variable).and_then(|pairs| {
                let variables = pairs.iter().filter(|_| variable == "GITHUB_ENV");
                let variables = variables.map(|(name, value)| (name.as_str(), value.as_str()));
                env_file::usable(variables).map_err(|e| e.to_string())?;
                Ok(pairs)
            });
            match pairs {
                Ok(pairs) => {
                    for (name, value) in pairs {
                        if variable == "GITHUB_ENV" && name.eq_ignore_ascii_case("NODE_OPTIONS") {
                            let why =
                                "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.";
                            first.get_or_insert(fail(variable, why.to_owned()));
                        } else if variable != "GITHUB_ENV" || env_file::may_set(&name) {
                            kept.push((name, value));
                        }
                    }
                }
                Err(why) => {
                    first.get_or_insert(fail(variable, why));
                }
            }
        }
        match self.read(place, "GITHUB_PATH", LARGEST) {
            Ok(text) => match env_file::usable([("", text.as_str())]) {
                Ok(()) => effects.paths.extend(env_file::paths(&text)),
                Err(why) => {
                    first.get_or_insert(fail("GITHUB_PATH", why.to_string()));
                }
            },
            Err(why) => {
                first.get_or_insert(fail("GITHUB_PATH", why.to_string()));
            }
        }
        let declared = self.read(place, "GITHUB_ARTIFACTS", declared::LARGEST).map_err(|e| e.to_string());
        match declared.and_then(|text| declared::declarations(&text)) {
            Ok(declared) => effects.declared = declared,
            Err(why) => {
                first.get_or_insert(fail("GITHUB_ARTIFACTS", why));
            }
        }
        if effects.failure.is_none() {
            effects.failure = first;
        }
        match self.read(place, "GITHUB_STEP_SUMMARY", LARGEST_SUMMARY) {
            Ok(text) => Some(voice.log.masked(&text)).filter(|text| !text.trim().is_empty()),
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => {
                let size =
                    place.open_small(&self.paths["GITHUB_STEP_SUMMARY"]).and_then(|file| file.metadata());
                let size = size.map_or(0, |meta| meta.len()).div_ceil(1024);
                voice.error(&format!(
                    "$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got {size}k. \
                     The step's summary is not shown."
                ));
                None
            }
            Err(e) => {
                voice.error(&format!("The step's summary is not shown ($GITHUB_STEP_SUMMARY): {e}"));
                None
            }
        }
    }

    fn pairs(&self, place: &Place, variable: &str) -> Result<Vec<(String, String)>, String> {
        let text = self.read(place, variable, LARGEST).map_err(|e| e.to_string())?;
        env_file::pairs(&text).map_err(|e| e.to_string())
    }

    fn read(&self, place: &Place, variable: &str, limit: u64) -> io::Result<String> {
        match place.read_small(&self.paths[variable], limit) {
            // A step may delete what it was given.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            other => other,
        }
    }
}
