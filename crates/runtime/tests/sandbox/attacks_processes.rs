//! A job that goes for other processes, or will not end.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use windlass_runtime::{ControlGroups, Exec, Exit, Level, Limits, Runtime as _, Signal};

use crate::world::{at, refused, sh};

/// A process of the machine, ended with the test.
struct Victim(Child);

impl Victim {
    fn new(mark: &str) -> Self {
        // No process of its own below it: that would outlive it.
        let mut command = Command::new("sh");
        command
            .args(["-c", "read line", mark])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processes of the machine with `mark` in their command line.
fn with_mark(mark: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(mark))
        .collect()
}

fn mark(world: &crate::world::World, name: &str) -> String {
    format!("{name}-{}-{}", world.level, std::process::id())
}

at!(other_processes_cannot_be_seen, [Namespaces, UserNamespaces], |world| {
    let mark = mark(&world, "victim");
    let _victim = Victim::new(&mark);
    let sandbox = world.sandbox().await;
    // In brackets, so that the search does not find itself.
    let pattern = format!("[{}]{}", &mark[..1], &mark[1..]);
    refused(&sandbox, &format!("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep '{pattern}'"), &mark).await;
    let count = sh(&sandbox, "ls -d /proc/[0-9]* | wc -l").await.text();
    assert!(count.trim().parse::<u32>().unwrap() < 8, "{count}");
    sandbox.kill().await.unwrap();
});

at!(other_processes_cannot_be_signalled, [Namespaces, UserNamespaces], |world| {
    let mut victim = Victim::new("signalled");
    let sandbox = world.sandbox().await;
    refused(&sandbox, &format!("kill -9 {}", victim.0.id()), "\u{0}").await;
    sh(&sandbox, "kill -9 -1").await;
    assert!(victim.alive());
    sandbox.kill().await.unwrap();
});

at!(plain_processes_cannot_signal_others_where_the_kernel_helps, [Process], |world| {
    if !world.runtime.capabilities().abstract_sockets_hidden {
        windlass_testkit::skip("plain_processes_cannot_signal_others", "this kernel has no Landlock scopes");
        return;
    }
    let mut victim = Victim::new("signalled");
    let sandbox = world.sandbox().await;
    refused(&sandbox, &format!("kill -9 {}", victim.0.id()), "\u{0}").await;
    assert!(victim.alive());
    sandbox.kill().await.unwrap();
});

at!(the_sandboxs_init_cannot_be_read_or_ended, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    for attack in [
        "cat /proc/1/environ",
        "ls /proc/1/root/",
        "head -c 1 /proc/1/mem",
        "cat /proc/1/maps",
        "ls -l /proc/1/fd/",
        "readlink /proc/1/exe",
        "perl -e 'syscall(101, 16, 1, 0, 0)==0 or die'",
    ] {
        refused(&sandbox, attack, "\u{0}").await;
    }
    sh(&sandbox, "kill -9 1; kill -STOP 1; kill -TERM 1; kill -SEGV 1").await;
    assert_eq!(sh(&sandbox, "echo alive").await.text(), "alive\n");
    sandbox.kill().await.unwrap();
});

at!(a_fork_bomb_is_contained, [Namespaces, UserNamespaces, Process], |world| {
    let limits = Limits { processes: Some(40), ..Limits::default() };
    let sandbox = world.start(world.spec().limit(limits)).await;
    let mark = mark(&world, "bomb");
    // The kernel counts for control groups, and for users but root. What is left is the watch, ten times a second: such
    // a machine is not put to the test of what comes faster, which it is not said to stand.
    let counted =
        world.runtime.capabilities().cgroup != ControlGroups::None || !nix::unistd::geteuid().is_root();
    let (bomb, bound) =
        if counted { ("f() { f | f & f; }; f", 45) } else { ("f() { sleep 0.1; f & f; }; f", 2000) };
    let bomb = sandbox.exec(Exec::new(["/bin/sh", "-c", bomb, &mark])).await.unwrap();
    let mut most = 0;
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        most = most.max(with_mark(&mark).len());
    }
    assert!(most <= bound, "{most} processes");
    if !counted {
        let gone = async {
            while !with_mark(&mark).is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the watch ends the bomb");
    }
    sandbox.kill().await.unwrap();
    drop(bomb);
    assert!(with_mark(&mark).is_empty());
    world.assert_clean();
});

at!(more_processes_than_allowed_are_refused, [Namespaces, UserNamespaces], |world| {
    let limits = Limits { processes: Some(20), ..Limits::default() };
    let sandbox = world.start(world.spec().limit(limits)).await;
    let done = sh(&sandbox, "i=0; while [ $i -lt 60 ]; do sleep 100 & i=$((i+1)); done; echo all").await;
    assert!(!done.text().contains("all") && !done.exit.success(), "{}", done.text());
    sandbox.kill().await.unwrap();
});

at!(a_memory_hog_is_killed_and_said_so, [Namespaces, UserNamespaces, Process], |world| {
    let limits = Limits { memory_bytes: Some(64 << 20), ..Limits::default() };
    let sandbox = world.start(world.spec().limit(limits)).await;
    // A megabyte at a time, so that the watch of machines without control groups has its turn.
    let hog = "my @a; for (1..400) { push @a, chr(65 + $_ % 26) x (1 << 20); select(undef, undef, undef, 0.005); } print \"ate\"";
    let done = sandbox.exec(Exec::new(["/usr/bin/perl", "-e", hog])).await.unwrap().finish().await.unwrap();
    assert_eq!(done.exit, Exit::OutOfMemory, "{} {}", done.text(), done.error_text());
    // Also when the hog is not the step itself.
    let done = sandbox
        .exec(Exec::new(["/bin/sh", "-c", "perl -e \"$0\" || exit 3", hog]).env("PATH", "/usr/bin:/bin"))
        .await
        .unwrap()
        .finish()
        .await
        .unwrap();
    assert_eq!(done.exit, Exit::OutOfMemory, "{}", done.error_text());
    // The sandbox goes on, and what fails for another reason is not blamed on memory.
    assert_eq!(sh(&sandbox, "exit 4").await.exit, Exit::Code(4));
    sandbox.kill().await.unwrap();
    world.assert_clean();
});

at!(who_ignores_sigterm_is_killed, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let mark = mark(&world, "stubborn");
    let script = "trap '' TERM INT HUP; echo ready > \"$TMP_FILE\"; while :; do sleep 0.05; done";
    let file = world.folder("workspace-0").join("ready");
    let process = sandbox
        .exec(
            Exec::new(["/bin/sh", "-c", script, &mark])
                .env("TMP_FILE", "/workspace/ready")
                .env("PATH", "/bin:/usr/bin"),
        )
        .await
        .unwrap();
    while !file.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.signal(Signal::TERMINATE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A child that it has just forked for `sleep` carries the mark as well, for a moment.
    assert!(!with_mark(&mark).is_empty(), "it should still be there");
    sandbox.kill().await.unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Signal(9));
    assert!(with_mark(&mark).is_empty());
});

at!(daemons_die_with_the_job, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let mark = mark(&world, "daemon");
    // Two splits, a session of its own, every descriptor closed, the mark of its environment gone.
    let script = format!(
        "setsid sh -c '(env -i setsid sh -c \"sleep 600; true\" {mark} </dev/null >/dev/null 2>&1 &) &' </dev/null >/dev/null 2>&1; sleep 0.2"
    );
    let done = sh(&sandbox, &script).await;
    assert!(done.exit.success(), "{}", done.error_text());
    assert_eq!(with_mark(&mark).len(), 1, "the daemon should live on after its step");
    sandbox.kill().await.unwrap();
    assert!(with_mark(&mark).is_empty());
    world.assert_clean();
});

at!(a_stopped_or_respawning_job_dies_too, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let mark = mark(&world, "phoenix");
    let script = format!(
        "phoenix() {{ while :; do sh -c 'sleep 0.01; true' {mark}; done; }}; phoenix & phoenix & phoenix & kill -STOP $$"
    );
    let process =
        sandbox.exec(Exec::new(["/bin/sh", "-c", &script]).env("PATH", "/bin:/usr/bin")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    sandbox.kill().await.unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Signal(9));
    assert!(with_mark(&mark).is_empty());
    assert!(matches!(world.level, Level::Namespaces | Level::UserNamespaces | Level::Process));
});
