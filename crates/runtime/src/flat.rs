//! Level `process` has no file system of its own: what a program is told of paths inside is rewritten to where
//! those are on the machine.
//!
//! - A program of an image is taken from the topmost layer that has it.
//! - A working directory, an argument or a variable's value that begins with the place of a bind (a volume, the
//!   workspace) gets the bind's folder on the machine instead.
//! - Paths within a program's own files are not rewritten: an image that needs its own `/etc` or libraries does
//!   not work at this level, a self-contained program does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::spec::{Exec, Root, SandboxSpec};

/// Rewrites a program for the machine's own file system.
pub(crate) fn rewrite(exec: &mut Exec, spec: &SandboxSpec) {
    let layers: &[PathBuf] = match &spec.root {
        Root::Machine => &[],
        Root::Layers(layers) | Root::MachineWithLayers(layers) => layers,
    };
    let path = exec.env.get("PATH").cloned().unwrap_or_default();
    if let Some(program) = exec.argv.first_mut() {
        let found = find(program, &path, layers).map(|found| found.display().to_string());
        *program = found.unwrap_or_else(|| place(program, spec));
    }
    for argument in exec.argv.iter_mut().skip(1) {
        *argument = place(argument, spec);
    }
    for (name, value) in &mut exec.env {
        *value = if name.ends_with("PATH") {
            value.split(':').map(|part| place(part, spec)).collect::<Vec<_>>().join(":")
        } else {
            place(value, spec)
        };
    }
    let cwd = PathBuf::from(place(&exec.cwd.to_string_lossy(), spec));
    exec.cwd = if cwd != exec.cwd {
        cwd
    } else if let Some(found) =
        layers.iter().map(|layer| layer.join(below_root(&cwd))).find(|path| path.is_dir())
    {
        found
    } else {
        cwd
    };
}

/// Where a path inside is on the machine, if it lies in a bind; else the text as it is.
fn place(text: &str, spec: &SandboxSpec) -> String {
    let inside = Path::new(text);
    if !inside.is_absolute() {
        return text.to_owned();
    }
    let best = spec
        .binds
        .iter()
        .filter(|bind| inside.starts_with(&bind.inside))
        .max_by_key(|b| b.inside.components().count());
    match best.and_then(|bind| Some((bind, inside.strip_prefix(&bind.inside).ok()?))) {
        Some((bind, rest)) if rest.as_os_str().is_empty() => bind.host.display().to_string(),
        Some((bind, rest)) => bind.host.join(rest).display().to_string(),
        None => text.to_owned(),
    }
}

fn find(program: &str, path: &str, layers: &[PathBuf]) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = if program.contains('/') {
        vec![program.into()]
    } else {
        path.split(':')
            .filter(|folder| folder.starts_with('/'))
            .map(|folder| Path::new(folder).join(program))
            .collect()
    };
    candidates.iter().find_map(|candidate| {
        layers.iter().map(|layer| layer.join(below_root(candidate))).find(|path| {
            path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
    })
}

fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_binds_and_programs_of_layers_are_found() {
        let root = tempfile::tempdir().unwrap();
        let (top, low) = (root.path().join("top"), root.path().join("low"));
        for (layer, name, mode) in
            [(&low, "app/serve", 0o755), (&top, "app/serve", 0o644), (&low, "bin/tool", 0o755)]
        {
            let file = layer.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let spec = SandboxSpec::layers("x", "/scratch", vec![top.clone(), low.clone()])
            .bind("/data/volume", "/data")
            .bind("/elsewhere", "/data/deep");
        let mut exec = Exec::new(["/app/serve", "/data/x", "/database", "--file=/data"])
            .env("PATH", "/data/bin:/bin")
            .env("DATABASE", "/data/deep/a.db")
            .env("TEXT", "data")
            .cwd("/app");
        rewrite(&mut exec, &spec);
        assert_eq!(
            exec.argv,
            [&low.join("app/serve").display().to_string(), "/data/volume/x", "/database", "--file=/data"]
        );
        assert_eq!(exec.env["PATH"], "/data/volume/bin:/bin");
        assert_eq!(exec.env["DATABASE"], "/elsewhere/a.db");
        assert_eq!(exec.env["TEXT"], "data");
        assert_eq!(exec.cwd, top.join("app"));

        let mut exec = Exec::new(["tool"]).env("PATH", "/sbin:/bin").cwd("/data");
        rewrite(&mut exec, &spec);
        assert_eq!(exec.argv, [low.join("bin/tool").display().to_string()]);
        assert_eq!(exec.cwd, Path::new("/data/volume"));
    }
}
