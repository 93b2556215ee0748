//! What steps write for the runner, fuzzed: see `windlass_testkit::Fuzz` and `cargo xtask fuzz`.

use std::path::Path;
use std::sync::Arc;

use windlass_secrets::Masker;
use windlass_testkit::{Fuzz, TestClock, fast_folder, way};

use crate::beneath::Beneath;
use crate::command::{Name, parse, resumes};
use crate::env_file::{pairs, paths};
use crate::log::Log;
use crate::matcher::Matchers;
use crate::report::Reporter;
use crate::transcript::{Transcript, Voice};

/// A step that writes `output`, in pieces of `piece` bytes.
fn hear(folder: &Path, output: &[u8], piece: usize) -> u64 {
    let clock = Arc::new(TestClock::at(0));
    let log =
        Log::create(&folder.join("log"), Masker::new(["s3cr3t-value"]), clock.clone(), 1 << 16).unwrap();
    let (in_job, in_step) = (Arc::default(), Arc::default());
    let voice = Voice {
        log,
        reporter: Reporter::new(clock),
        step: 1,
        debug: piece.is_multiple_of(2),
        in_job,
        in_step,
    };
    let mut transcript = Transcript::new(voice, piece.is_multiple_of(3), Matchers::default());
    for part in output.chunks(piece) {
        transcript.feed(part);
    }
    let (effects, _) = transcript.finish();
    way(&format!("{effects:?}").chars().filter(|c| "[]{}".contains(*c)).take(12).collect::<String>())
}

#[test]
fn commands() {
    let words = [
        "::",
        "##[",
        "]",
        "error",
        "warning",
        "notice",
        "debug",
        "group",
        "endgroup",
        "add-mask",
        "add-matcher",
        "remove-matcher",
        "echo",
        "stop-commands",
        "set-output",
        "save-state",
        "set-env",
        "add-path",
        "file=",
        "line=",
        "endLine=",
        "col=",
        "title=",
        "name=",
        "owner=",
        ",",
        ";",
        "=",
        "%0A",
        "%25",
        "%3A",
        "%",
        "\r\n",
        "\n",
        "\u{1b}[31m",
        "s3cr3t-value",
    ];
    let dir = tempfile::tempdir_in(fast_folder()).unwrap();
    Fuzz { name: "commands", words: &words, longest: 4 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let mut ways = 0;
        for line in text.lines() {
            if let Some(command) = parse(line) {
                assert_eq!(Name::parse(command.name.as_str()), Some(command.name));
                let known = ["file", "line", "title", "name"].map(|name| command.property(name).is_some());
                ways ^= way(&format!("{:?}{known:?}", command.name));
            }
            ways ^= u64::from(resumes(line, "token"));
        }
        let piece = usize::from(*bytes.first().unwrap_or(&1)) + 1;
        ways.rotate_left(9) ^ hear(dir.path(), bytes, piece)
    });
}

#[test]
fn env_files() {
    let words = ["=", "<<", "EOF", "\n", "\r\n", "\u{feff}", "A", "GITHUB_X", "ghadelimiter_", "\0"];
    Fuzz { name: "env-files", words: &words, longest: 8 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        paths(&text);
        match pairs(&text) {
            Ok(pairs) => {
                assert!(pairs.iter().all(|(name, _)| !name.is_empty()));
                assert!(pairs.iter().map(|(_, value)| value.len()).sum::<usize>() <= text.len());
                let lines: Vec<usize> =
                    pairs.iter().take(4).map(|(_, value)| value.lines().count().min(4)).collect();
                way(&format!("{lines:?}").replace(char::is_numeric, "")) ^ lines.iter().sum::<usize>() as u64
            }
            Err(error) => way(&error.to_string()),
        }
    });
}

#[test]
fn matchers() {
    let words = [
        "\"problemMatcher\":",
        "\"owner\":",
        "\"pattern\":",
        "\"regexp\":",
        "\"file\":",
        "\"line\":",
        "\"message\":",
        "\"loop\":true",
        "\"severity\":",
        "\"fromPath\":",
        "(.+)",
        "(.*)*",
        "\\\\d+",
        "(?=a)",
        "(?<!a)",
        "\\\\1",
        "[^",
        "{1000}",
        "$",
        "^",
        "\n\n",
        "\n",
        "{",
        "}",
        "[",
        "]",
    ];
    let dir = tempfile::tempdir_in(fast_folder()).unwrap();
    Fuzz { name: "matchers", words: &words, longest: 4 << 10 }.run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (file, output) = text.split_once("\n\n").unwrap_or((&text, "a:1: x"));
        std::fs::write(dir.path().join("m.json"), file).unwrap();
        let below = Beneath::new(dir.path(), Path::new("/w")).unwrap();
        let mut matchers = Matchers::below(below, "/w".into());
        if let Err(why) = matchers.want("m.json") {
            return way(&why);
        }
        let mut ways = 1;
        for line in output.lines().take(20) {
            let seen = matchers.see(line);
            let shape = seen
                .finding
                .map(|found| (found.level, found.file.is_some(), found.line.is_some(), found.code.is_some()));
            ways = u64::rotate_left(ways, 5) ^ way(&format!("{shape:?} {}", seen.dropped.len()));
        }
        let _ = matchers.remove(None, "m.json");
        ways
    });
}
