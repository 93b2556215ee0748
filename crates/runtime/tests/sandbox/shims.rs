//! Service instances: held by shims that outlive who started them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_runtime::{Exit, InstanceSpec, Instances as _, Limits, Observed, SandboxSpec, Shims};

use crate::world::{EXE, World, at};

fn shims(world: &World) -> Shims {
    Shims::new(EXE, world.level)
}

/// An instance of a one-file image: a copy of a static shell where there is one, else the machine's root.
fn instance(world: &World, dir: &Path, script: &str) -> InstanceSpec {
    let id = format!(
        "instance-{}-{}-{}",
        std::process::id(),
        world.level,
        dir.file_name().unwrap().to_string_lossy()
    );
    InstanceSpec {
        sandbox: SandboxSpec::machine(id, dir.join("scratch")).bind(world.folder("volume"), "/data"),
        argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
        env: BTreeMap::from([
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("PORT".into(), "4711".into()),
            ("DIR".into(), "/data".into()),
        ]),
        cwd: "/".into(),
    }
}

async fn until(shims: &Shims, dir: &Path, what: impl Fn(&Observed) -> bool) -> Observed {
    for _ in 0..1000 {
        let observed = shims.observe(dir).await.unwrap();
        if what(&observed) {
            return observed;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}; log: {}", shims.observe(dir).await, log(shims, dir));
}

fn log(shims: &Shims, dir: &Path) -> String {
    shims.logs(dir).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

fn running(observed: &Observed) -> bool {
    matches!(observed, Observed::Running { .. })
}

/// Processes of the machine with `mark` in their command line.
fn marked(mark: &str) -> usize {
    let lines = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(mark)).count()
}

fn dir(world: &World, name: &str) -> PathBuf {
    world.root.join("instances").join(name)
}

at!(an_instance_runs_logs_and_stops, [Namespaces, UserNamespaces, Process], |world| {
    let (shims, dir) = (shims(&world), dir(&world, "a"));
    assert_eq!(shims.observe(&dir).await.unwrap(), Observed::Gone);
    let script =
        "echo hello $PORT; echo oops >&2; trap 'echo bye; exit 7' TERM; while :; do sleep 0.02; done";
    shims.spawn(&dir, &instance(&world, &dir, script)).await.unwrap();
    let observed = until(&shims, &dir, running).await;
    let Observed::Running { pid, .. } = observed else { unreachable!() };
    // Another one does not take its folder.
    shims.spawn(&dir, &instance(&world, &dir, "echo second")).await.unwrap();
    assert!(matches!(shims.observe(&dir).await.unwrap(), Observed::Running { pid: same, .. } if same == pid));
    // Whoever started it is not its parent.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(!stat.contains(&format!(" S {} ", std::process::id())));
    while !log(&shims, &dir).contains("oops") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let exit = shims.stop(&dir, Duration::from_secs(20)).await.unwrap();
    assert_eq!(exit, Some(Exit::Code(7)));
    let text = log(&shims, &dir);
    assert!(
        text.contains("Z o hello 4711\n") && text.contains("Z e oops\n") && text.contains("Z o bye\n"),
        "{text}"
    );
    assert!(matches!(shims.observe(&dir).await.unwrap(), Observed::Exited { exit: Exit::Code(7), .. }));
    assert!(!dir.join("scratch").exists());
    assert_eq!(shims.stop(&dir, Duration::ZERO).await.unwrap(), Some(Exit::Code(7)));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(dir.join("spec.json")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
});

at!(a_stubborn_instance_is_killed_after_its_grace, [Namespaces, UserNamespaces, Process], |world| {
    let (shims, dir) = (shims(&world), dir(&world, "b"));
    shims
        .spawn(&dir, &instance(&world, &dir, "trap '' TERM; echo up; while :; do sleep 0.02; done"))
        .await
        .unwrap();
    while !log(&shims, &dir).contains("up") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(shims.stop(&dir, Duration::from_millis(100)).await.unwrap(), Some(Exit::Signal(9)));
});

at!(an_instance_that_cannot_start_says_why, [Namespaces, UserNamespaces, Process], |world| {
    let (shims, dir) = (shims(&world), dir(&world, "c"));
    let mut spec = instance(&world, &dir, "");
    spec.argv = vec!["/no/such/server".into()];
    shims.spawn(&dir, &spec).await.unwrap();
    until(&shims, &dir, |observed| matches!(observed, Observed::Failed { .. })).await;
    assert!(
        log(&shims, &dir).contains("e windlass: the instance did not start: no program `/no/such/server`"),
        "{}",
        log(&shims, &dir)
    );
    // A second attempt in the same folder works, and goes on with the log.
    shims.spawn(&dir, &instance(&world, &dir, "echo port in use >&2; exit 98")).await.unwrap();
    let exited = until(&shims, &dir, |observed| matches!(observed, Observed::Exited { .. })).await;
    assert!(matches!(exited, Observed::Exited { exit: Exit::Code(98), .. }));
    assert!(log(&shims, &dir).contains("port in use"));
});

at!(a_killed_shim_takes_its_instance_with_it, [Namespaces, UserNamespaces, Process], |world| {
    let (shims, dir) = (shims(&world), dir(&world, "d"));
    let mark = format!("orphan-{}-{}", world.level, std::process::id());
    let script = format!(
        "setsid sh -c 'while :; do sleep 0.05; done' {mark} >/dev/null 2>&1 & while :; do sleep 0.05; done"
    );
    shims.spawn(&dir, &instance(&world, &dir, &script)).await.unwrap();
    let Observed::Running { pid, .. } = until(&shims, &dir, running).await else { unreachable!() };
    while marked(&mark) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    until(&shims, &dir, |observed| *observed == Observed::Gone).await;
    for _ in 0..1000 {
        if marked(&mark) == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(marked(&mark), 0, "the instance lives on without its shim");
    assert_eq!(shims.stop(&dir, Duration::ZERO).await.unwrap(), None);
    assert!(!dir.join("scratch").exists(), "the killed shim's folder is still there");
    // And the instance can be started again.
    shims.spawn(&dir, &instance(&world, &dir, "exit 0")).await.unwrap();
    until(&shims, &dir, |observed| matches!(observed, Observed::Exited { exit: Exit::Code(0), .. })).await;
});

at!(volumes_stay_and_limits_hold, [Namespaces, UserNamespaces, Process], |world| {
    let (shims, dir) = (shims(&world), dir(&world, "e"));
    let mut spec = instance(&world, &dir, "echo kept > \"$DIR/file\"; ulimit -a >/dev/null; sleep 600");
    spec.sandbox = spec.sandbox.limit(Limits {
        memory_bytes: Some(256 << 20),
        processes: Some(50),
        cpu_millis: Some(500),
    });
    shims.spawn(&dir, &spec).await.unwrap();
    // The shell makes the file before it writes to it.
    while !std::fs::read_to_string(world.root.join("volume/file")).is_ok_and(|text| text == "kept\n") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let Observed::Running { usage, .. } = until(&shims, &dir, running).await else { unreachable!() };
    assert!(usage.memory_bytes > 0 && usage.processes >= 1, "{usage:?}");
    assert_eq!(shims.stop(&dir, Duration::from_secs(5)).await.unwrap(), Some(Exit::Signal(15)));
    assert_eq!(std::fs::read_to_string(world.root.join("volume/file")).unwrap(), "kept\n");
});

at!(an_image_runs_from_its_layers_alone, [Namespaces, UserNamespaces, Process], |world| {
    // The test binary's own init, with the libraries that it names, as an image of two layers.
    let (program, libraries) = (world.root.join("layers/program"), world.root.join("layers/libraries"));
    std::fs::create_dir_all(program.join("app")).unwrap();
    std::fs::copy("/usr/bin/env", program.join("app/env")).unwrap();
    let listed = std::process::Command::new("ldd").arg("/usr/bin/env").output().unwrap();
    for path in
        String::from_utf8_lossy(&listed.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let target = libraries.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(path, target).unwrap();
    }
    let (shims, dir) = (shims(&world), dir(&world, "f"));
    let mut spec = instance(&world, &dir, "");
    spec.argv = vec!["/app/env".into()];
    spec.sandbox.root = windlass_runtime::Root::Layers(vec![program.clone(), libraries]);
    spec.sandbox.read_only_root = true;
    spec.sandbox.user = Some((65532, 65532));
    shims.spawn(&dir, &spec).await.unwrap();
    until(&shims, &dir, |observed| matches!(observed, Observed::Exited { .. } | Observed::Failed { .. }))
        .await;
    assert!(log(&shims, &dir).contains("o PORT=4711"), "{}", log(&shims, &dir));
    assert_eq!(std::fs::read_dir(&program).unwrap().count(), 1, "the layer was written to");
    assert!(!dir.join("scratch").exists());
});
