//! The unit's hand inside the sandbox: this very program, executed again as `windlass job-tool`, so that files that a
//! job made are only ever looked at from where the job itself could.
//!
//! It reads one request as JSON on its input. What it makes (an archive) goes to standard output, its report as JSON to
//! standard error; when it fails, standard error holds the reason, and its code is 1.

mod archive;
mod assemble;
mod context;
mod copy;
#[cfg(test)]
mod fuzz;
mod glob;
mod hash;
mod search;
mod tracked;

use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use archive::{Packing, Unpacking, Unzipping, Zipping};
pub(crate) use assemble::Assembly;
pub(crate) use copy::Copying;
pub(crate) use glob::name_fits;
pub(crate) use hash::Hashing;
pub use hash::hash_files;
pub(crate) use search::Searching;

/// What the tool can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", content = "with")]
pub(crate) enum Request {
    /// The hash over files (`hashFiles`). The report is the hash, or empty.
    Hash(Hashing),
    /// The SHA-256 of one file. The report is the digest.
    Digest(PathBuf),
    /// A zip archive of files, to standard output.
    Zip(Zipping),
    /// A zip archive's files, into a folder.
    Unzip(Unzipping),
    /// A compressed tar of paths, to standard output.
    Pack(Packing),
    /// A compressed tar's files, to where they were.
    Unpack(Unpacking),
    /// A plain tar of an image's files, to standard output.
    Assemble(Assembly),
    /// A plain tar of all files of a folder, to standard output.
    Context(PathBuf),
    /// The files of a working tree, into another folder.
    Copy(Copying),
    /// Kills what carries this value of [`MARK`] in its environment.
    KillMarked(String),
    /// Programs by their names, in folders and in the installations below others. The report is a list.
    Search(Searching),
}

/// The variable by which the processes of one step are found.
pub(crate) const MARK: &str = "WINDLASS_STEP";

/// What an archive came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// How many files.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What is worth knowing.
    pub(crate) notes: Vec<String>,
    /// The answer, where it is a text.
    pub(crate) text: String,
    /// The answer, where it is a list.
    pub(crate) names: Vec<String>,
}

/// The entry of the hidden subcommand `job-tool`. Gives the exit code.
pub fn tool_main() -> u8 {
    let mut text = String::new();
    let outcome = io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())
        .and_then(|_| serde_json::from_str(&text).map_err(|e| format!("not a request for the tool: {e}")))
        .and_then(|request: Request| {
            let mut out = BufWriter::with_capacity(128 << 10, io::stdout().lock());
            let report = answer(request, &mut out)?;
            out.flush().map_err(|e| e.to_string())?;
            serde_json::to_string(&report).map_err(|e| e.to_string())
        });
    let (code, words) = match outcome {
        Ok(report) => (0, report),
        Err(why) => (1, why),
    };
    let _ = io::stderr().write_all(words.as_bytes());
    code
}

/// The answer of this very process to what is about files only; none to what makes an archive.
pub(crate) fn answer_here(request: &Request) -> Option<Result<Report, String>> {
    match request {
        Request::Hash(_)
        | Request::Digest(_)
        | Request::Copy(_)
        | Request::KillMarked(_)
        | Request::Search(_) => Some(answer(request.clone(), &mut io::sink())),
        _ => None,
    }
}

fn answer(request: Request, out: &mut dyn io::Write) -> Result<Report, String> {
    match request {
        Request::Hash(hashing) => hashing.run(),
        Request::Digest(file) => hash::digest(&file),
        Request::Zip(zipping) => zipping.run(out),
        Request::Unzip(unzipping) => unzipping.run(),
        Request::Pack(packing) => packing.run(out),
        Request::Unpack(unpacking) => unpacking.run(),
        Request::Assemble(assembly) => assembly.run(out),
        Request::Context(folder) => context::pack(&folder, out),
        Request::Copy(copying) => copying.run(),
        Request::KillMarked(mark) => Ok(tracked::kill_marked(&mark)),
        Request::Search(searching) => Ok(searching.run()),
    }
}

/// An I/O error with what it was about.
fn at(path: &std::path::Path) -> impl Fn(io::Error) -> String + '_ {
    move |e| format!("{}: {e}", path.display())
}
