//! Stages for other platforms: what this machine can run of them. Their files can be put together anywhere; a `RUN` needs
//! a kernel that hands such programs to an emulator (`binfmt_misc`, kernel documentation).

use std::fs;
use std::path::Path;

use windlass_dockerfile::ast::Command;
use windlass_dockerfile::plan::Plan;
use windlass_dockerfile::{Diagnostic, Platform, Span};

/// Where the kernel shows its handlers.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// The `RUN`s of a plan that this machine cannot carry out, each as a finding.
pub(crate) fn findings(plan: &Plan) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for stage in plan.stages().iter().filter(|stage| stage.needed) {
        let Err(why) = runs(&stage.platform) else { continue };
        let instructions = &plan.file().stages[stage.index].instructions;
        let run = instructions.iter().find(|each| matches!(each.command, Command::Run(_)));
        findings.extend(run.map(|run| finding(run.span, &stage.platform, &why)));
    }
    findings
}

pub(crate) fn finding(span: Span, platform: &Platform, why: &str) -> Diagnostic {
    let here = Platform::linux(windlass_oci::machine_architecture());
    let message =
        format!("this RUN is for {platform}, whose programs this machine ({here}) cannot run: {why}");
    Diagnostic::error(span, message).with_help(format!(
        "register an emulator with the kernel (qemu-user with its binfmt entry, flag F), build on a machine of that \
         platform, or run it natively in a stage `FROM --platform=$BUILDPLATFORM …` that makes what {platform} needs"
    ))
}

/// Whether programs of a platform run on this machine; if not, why.
pub(crate) fn runs(platform: &Platform) -> Result<(), String> {
    let here = windlass_oci::machine_architecture();
    let wanted = platform.architecture.as_str();
    // A processor of 64 bits runs the programs of its own older self.
    if platform.os == "linux" && (wanted == here || (here, wanted) == ("amd64", "386")) {
        return Ok(());
    }
    let Some(header) = header(wanted).filter(|_| platform.os == "linux") else {
        return Err("nothing is known of such programs".into());
    };
    handled(Path::new(HANDLERS), &header)
}

/// The head of a program, as the kernel compares it (System V ABI, "ELF Header").
fn header(architecture: &str) -> Option<[u8; 20]> {
    let (machine, wide, little): (u16, bool, bool) = match architecture {
        "386" => (3, false, true),
        "amd64" => (62, true, true),
        "arm" => (40, false, true),
        "arm64" => (183, true, true),
        "loong64" => (258, true, true),
        "mips64le" => (8, true, true),
        "ppc64le" => (21, true, true),
        "riscv64" => (243, true, true),
        "s390x" => (22, true, false),
        _ => return None,
    };
    let mut header = [0; 20];
    header[..4].copy_from_slice(b"\x7fELF");
    header[4] = if wide { 2 } else { 1 };
    header[5] = if little { 1 } else { 2 };
    header[6] = 1;
    let number = |number: u16| if little { number.to_le_bytes() } else { number.to_be_bytes() };
    header[16..18].copy_from_slice(&number(2));
    header[18..20].copy_from_slice(&number(machine));
    Some(header)
}

/// Whether one of the handlers takes a program with this head, in any root.
fn handled(folder: &Path, header: &[u8]) -> Result<(), String> {
    let mut why = "no emulator for them is registered".to_owned();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let Some(handler) = Handler::read(&text).filter(|handler| handler.takes(header)) else { continue };
        if handler.everywhere {
            return Ok(());
        }
        why = format!(
            "the emulator `{}` is registered without the flag F, so that an image would have to bring it along",
            handler.interpreter
        );
    }
    Err(why)
}

/// A handler, as the kernel shows it.
struct Handler {
    interpreter: String,
    /// Flag F: the interpreter was opened when it was registered, and is there in every root.
    everywhere: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    /// Reads an entry; `None` for one that is off, or goes by names.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next() != Some("enabled") {
            return None;
        }
        let field = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.map(|value| value.trim().to_owned())
        };
        let magic = hex::decode(field("magic ")?).ok()?;
        let mask = match field("mask ") {
            Some(mask) => hex::decode(mask).ok()?,
            None => vec![0xff; magic.len()],
        };
        Some(Self {
            interpreter: field("interpreter ")?,
            everywhere: field("flags: ").is_some_and(|flags| flags.contains('F')),
            offset: field("offset ").and_then(|offset| offset.parse().ok()).unwrap_or(0),
            magic,
            mask,
        })
    }

    fn takes(&self, header: &[u8]) -> bool {
        let Some(part) = header.get(self.offset..) else { return false };
        let same = |((byte, mask), magic): ((&u8, &u8), &u8)| byte & mask == magic & mask;
        part.len() >= self.magic.len() && part.iter().zip(&self.mask).zip(&self.magic).all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's `qemu-user-binfmt` registers it.
    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
                         magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    fn handlers(entries: &[(&str, &str)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for (name, text) in entries {
            fs::write(temp.path().join(name), text).unwrap();
        }
        temp
    }

    #[test]
    fn a_registered_emulator_runs_its_programs_and_no_others() {
        let temp = handlers(&[
            ("qemu-aarch64", ARM64),
            ("status", "enabled\n"),
            ("register", ""),
            ("by-name", "enabled\ninterpreter /x\nflags: F\nextension .py\n"),
        ]);
        assert_eq!(handled(temp.path(), &header("arm64").unwrap()), Ok(()));
        for other in ["arm", "riscv64", "s390x", "ppc64le", "386"] {
            let why = handled(temp.path(), &header(other).unwrap()).unwrap_err();
            assert_eq!(why, "no emulator for them is registered", "{other}");
        }
    }

    #[test]
    fn an_emulator_that_is_off_or_bound_to_one_root_does_not_count() {
        let arm64 = header("arm64").unwrap();
        let off = handlers(&[("qemu", &ARM64.replace("enabled", "disabled"))]);
        assert!(handled(off.path(), &arm64).is_err());
        let bound = handlers(&[("qemu", &ARM64.replace("POCF", "POC"))]);
        assert!(handled(bound.path(), &arm64).unwrap_err().contains("without the flag F"));
        assert!(handled(Path::new("/nowhere"), &arm64).is_err());
    }

    #[test]
    fn what_this_machine_is_runs_and_what_is_unknown_does_not() {
        assert_eq!(runs(&Platform::linux(windlass_oci::machine_architecture())), Ok(()));
        assert!(runs(&"linux/vax".parse().unwrap()).is_err());
    }
}
