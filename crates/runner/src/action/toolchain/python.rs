//! What a Python of the machine needs before a job may install packages with it.
//!
//! On GitHub, `setup-python` brings a Python of its own, and `pip install` writes to it. Here it is the machine's: a
//! distribution's refuses (PEP 668), and where jobs are plain processes, what they install would stay on the machine.

use std::path::PathBuf;

use windlass_runtime::Level;

use super::Found;
use crate::action::{ActionError, ActionRun};

/// Tells of an interpreter: is it within a virtual environment; does its distribution manage it; may its packages be
/// written to. Each is 0 or 1.
const PROBE: &str = "import os, sys, sysconfig as s
paths = s.get_paths()
managed = os.path.exists(os.path.join(paths['stdlib'], 'EXTERNALLY-MANAGED'))
print(int(sys.prefix != sys.base_prefix), int(managed), int(os.access(paths['purelib'], os.W_OK)))";

/// What is to be done with an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It can be used as it is.
    AsItIs,
    /// The distribution's refusal is overruled: what is installed is thrown away with the job.
    Overrule,
    /// A virtual environment keeps packages from the machine's own.
    Apart,
}

/// What [`PROBE`] said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nature {
    is_virtual: bool,
    managed: bool,
    writable: bool,
}

impl Nature {
    fn read(text: &str) -> Option<Self> {
        let mut flags = text.split_whitespace().map(|flag| flag == "1");
        Some(Self { is_virtual: flags.next()?, managed: flags.next()?, writable: flags.next()? })
    }

    fn way(self, level: Level) -> Way {
        match level {
            _ if self.is_virtual => Way::AsItIs,
            Level::Process => Way::Apart,
            Level::Namespaces | Level::UserNamespaces if self.managed => Way::Overrule,
            Level::Namespaces | Level::UserNamespaces => Way::AsItIs,
        }
    }
}

/// Makes `pip install` work as on GitHub; gives the interpreter that the job is to use.
pub(super) async fn prepare(run: &mut ActionRun<'_>, found: &Found) -> Result<Found, ActionError> {
    let program = found.program.to_string_lossy().into_owned();
    let said = run.read(&[&program, "-c", PROBE], &run.workspace()).await?;
    let Some(nature) = said.as_deref().and_then(Nature::read) else { return Ok(found.clone()) };
    match nature.way(run.job.level) {
        Way::AsItIs => {}
        Way::Overrule => {
            run.voice.say(
                "This Python belongs to the machine's distribution, which refuses `pip install` (PEP 668). What a job installs is thrown \
                 away at its end, so it is allowed here: PIP_BREAK_SYSTEM_PACKAGES=1",
            );
            run.export("PIP_BREAK_SYSTEM_PACKAGES", "1");
            run.export("PIP_ROOT_USER_ACTION", "ignore");
        }
        Way::Apart => return apart(run, found, nature).await,
    }
    Ok(found.clone())
}

/// A virtual environment in the job's temporary folder, or else the job's own home.
async fn apart(run: &mut ActionRun<'_>, found: &Found, nature: Nature) -> Result<Found, ActionError> {
    let root = run.job.place.layout.temp.join(format!("_python-{}", found.version));
    let (program, folder) = (found.program.to_string_lossy(), root.to_string_lossy());
    let made = run.read(&[program.as_ref(), "-m", "venv", folder.as_ref()], &run.workspace()).await?;
    if made.is_some() {
        run.voice.say(&format!(
            "Jobs are plain processes here: a virtual environment in {folder} keeps what they install from the machine's own Python"
        ));
        let program: PathBuf = root.join("bin/python");
        return Ok(Found { version: found.version.clone(), program });
    }
    // What a failed attempt leaves would be found by those who look for an environment.
    run.read(&["rm", "-rf", folder.as_ref()], &run.workspace()).await?;
    run.voice.say(&format!(
        "Jobs are plain processes here, and `{program} -m venv` does not work (Debian: apt install python3-venv): what they install goes \
         to the job's own home, which is thrown away"
    ));
    run.export("PIP_BREAK_SYSTEM_PACKAGES", "1");
    if nature.writable {
        // Where it cannot write, pip chooses the home by itself, and `--target` still works.
        run.export("PIP_USER", "1");
    }
    Ok(found.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_python_is_never_changed_and_always_usable() {
        use Level::{Namespaces, Process, UserNamespaces};
        for (said, level, way) in [
            ("0 1 1\n", Namespaces, Way::Overrule),
            ("0 1 0\n", UserNamespaces, Way::Overrule),
            ("0 0 1\n", Namespaces, Way::AsItIs),
            ("0 1 1\n", Process, Way::Apart),
            ("0 0 1\n", Process, Way::Apart),
            ("1 1 1\n", Process, Way::AsItIs),
            ("1 1 1\n", UserNamespaces, Way::AsItIs),
        ] {
            assert_eq!(Nature::read(said).unwrap().way(level), way, "{said} at {level}");
        }
        assert_eq!(Nature::read("0 1"), None);
        assert_eq!(Nature::read(""), None);
    }
}
