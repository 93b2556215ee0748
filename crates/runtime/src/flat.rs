//! Level `process` has no file system of its own: what a program is told of paths inside is rewritten to where
//! those are on the machine.
//!
//! - A program of an image is taken from the topmost layer that has it.
//! - A working directory, an argument or a variable's value that begins with the place of a bind (a volume, the
//!   workspace) gets the bind's folder on the machine instead; one that names what a layer has gets the topmost
//!   layer's. Of a search path (a variable whose name ends in `PATH`) each part is looked at, and all layers count.
//! - Paths within a program's own files are not rewritten: an image that needs its own `/etc` or libraries does
//!   not work at this level, a self-contained program or a script does.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

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
        *argument = laid(argument, spec, layers);
    }
    for (name, value) in &mut exec.env {
        *value = if name.ends_with("PATH") {
            value.split(':').flat_map(|part| search(part, spec, layers)).collect::<Vec<_>>().join(":")
        } else {
            laid(value, spec, layers)
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

/// Where a path inside is on the machine: in a bind, or in the topmost layer that has it. A folder that the machine has as
/// well stays the machine's: the layer's would be without the rest.
fn laid(text: &str, spec: &SandboxSpec, layers: &[PathBuf]) -> String {
    let placed = place(text, spec);
    if placed != text {
        return placed;
    }
    let found = in_layers(text, layers).next();
    let over_machine = matches!(spec.root, Root::MachineWithLayers(_));
    let shared = |path: &Path| over_machine && path.is_dir() && Path::new(text).is_dir();
    found.filter(|path| !shared(path)).map_or(placed, |path| path.display().to_string())
}

/// The folders that one part of a search path stands for.
fn search(part: &str, spec: &SandboxSpec, layers: &[PathBuf]) -> Vec<String> {
    let mut all: Vec<String> = in_layers(part, layers).map(|path| path.display().to_string()).collect();
    // What an image does not bring itself, the machine may have: there is no other root here.
    all.push(place(part, spec));
    all
}

fn in_layers<'a>(text: &'a str, layers: &'a [PathBuf]) -> impl Iterator<Item = PathBuf> + 'a {
    let below = Path::new(text).strip_prefix("/").ok().filter(|below| !below.as_os_str().is_empty());
    let plain = |below: &&Path| below.components().all(|part| matches!(part, Component::Normal(_)));
    let below = below.filter(plain);
    layers.iter().filter_map(move |layer| Some(layer.join(below?))).filter(|path| path.exists())
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
        assert_eq!(exec.env["PATH"], format!("/data/volume/bin:{}:/bin", low.join("bin").display()));
        assert_eq!(exec.env["DATABASE"], "/elsewhere/a.db");
        assert_eq!(exec.env["TEXT"], "data");
        assert_eq!(exec.cwd, top.join("app"));

        let mut exec = Exec::new(["tool"]).env("PATH", "/sbin:/bin").cwd("/data");
        rewrite(&mut exec, &spec);
        assert_eq!(exec.argv, [low.join("bin/tool").display().to_string()]);
        assert_eq!(exec.cwd, Path::new("/data/volume"));
    }
    #[test]
    fn what_an_image_brings_is_found_beside_what_the_machine_has() {
        let root = tempfile::tempdir().unwrap();
        let layer = root.path().join("layer");
        for file in ["srv/hello/app.py", "srv/hello/vendor/x.py", "usr/bin/windlass-none"] {
            let path = layer.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let mut spec = SandboxSpec::machine("x", "/scratch");
        spec.root = Root::MachineWithLayers(vec![layer.clone()]);
        let mut exec = Exec::new(["python3", "/srv/hello/app.py", "/srv/other", "/", "/srv/../srv/hello"])
            .env("PYTHONPATH", "/srv/hello/vendor:/opt/x")
            .env("PATH", "/usr/bin:/bin")
            .env("HOME_OF_APP", "/srv/hello")
            .env("TOOLS", "/usr/bin")
            .cwd("/srv/hello");
        rewrite(&mut exec, &spec);
        let at = |path: &str| layer.join(path).display().to_string();
        assert_eq!(exec.argv, ["python3", &at("srv/hello/app.py"), "/srv/other", "/", "/srv/../srv/hello"]);
        assert_eq!(exec.env["PYTHONPATH"], format!("{}:/srv/hello/vendor:/opt/x", at("srv/hello/vendor")));
        assert_eq!(exec.env["PATH"], format!("{}:/usr/bin:/bin", at("usr/bin")));
        assert_eq!(exec.env["HOME_OF_APP"], at("srv/hello"));
        assert_eq!(exec.env["TOOLS"], "/usr/bin", "the machine's folder has more in it");
        assert_eq!(exec.cwd, layer.join("srv/hello"));

        spec.root = Root::Layers(vec![layer.clone()]);
        let mut exec = Exec::new(["x"]).env("PATH", "/usr/bin:/bin").env("TOOLS", "/usr/bin");
        rewrite(&mut exec, &spec);
        assert_eq!(exec.env["PATH"], format!("{}:/usr/bin:/bin", at("usr/bin")));
        assert_eq!(exec.env["TOOLS"], at("usr/bin"));
    }
}
