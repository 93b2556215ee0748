//! What holds for every driver and level.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use windlass_runtime::fake::{FakeRuntime, Played};
use windlass_runtime::{
    Exec, Exit, Level, Limits, Root, Runtime, RuntimeError, Sandbox, SandboxSpec, Signal,
};

use crate::world::{at, sh};

/// The part that the fake keeps too.
async fn common(sandbox: Arc<dyn Sandbox>) {
    let env = sandbox.environment();
    assert_eq!(env["HOME"], sandbox.home().display().to_string());
    let run = |argv: &[&str]| Exec::new(argv.iter().copied()).env("PATH", "/usr/bin:/bin");
    let done = sandbox.exec(run(&["echo", "hi"])).await.unwrap().finish().await.unwrap();
    assert_eq!((done.exit, done.text().as_str(), done.error_text().as_str()), (Exit::Code(0), "hi\n", ""));
    let done = sandbox.exec(run(&["sh", "-c", "exit 7"])).await.unwrap().finish().await.unwrap();
    assert_eq!(done.exit, Exit::Code(7));

    let process = sandbox.exec(run(&["sleep", "1000"])).await.unwrap();
    process.signal(Signal::TERMINATE).await.unwrap();
    assert_eq!(process.wait().await.unwrap(), Exit::Signal(15));
    assert_eq!(process.wait().await.unwrap(), Exit::Signal(15), "may be asked again");
    process.signal(Signal::TERMINATE).await.unwrap();

    let missing = sandbox.exec(run(&["no-such-program"])).await.unwrap_err();
    assert!(matches!(missing, RuntimeError::ProgramNotFound { .. }), "{missing}");

    sandbox.usage().await.unwrap();
    let process = sandbox.exec(run(&["sleep", "1000"])).await.unwrap();
    let control = process.control.clone();
    let waiter = tokio::spawn(async move { control.wait().await });
    sandbox.kill().await.unwrap();
    sandbox.kill().await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap(), Exit::Signal(9));
    assert!(matches!(sandbox.exec(run(&["echo", "hi"])).await.unwrap_err(), RuntimeError::Ended));
}

#[tokio::test]
async fn fake() {
    let runtime = FakeRuntime::new(|_, exec| match exec.argv[0].as_str() {
        "echo" => Ok(Played::prints("hi\n")),
        "sh" => Ok(Played::exits(7)),
        "sleep" => Ok(Played::runs()),
        program => Err(RuntimeError::ProgramNotFound { program: program.into(), searched: String::new() }),
    });
    common(runtime.start(SandboxSpec::machine("fake", "/nowhere")).await.unwrap()).await;
    assert_eq!(runtime.seen().len(), 4);
}

at!(keeps_the_contract, [Namespaces, UserNamespaces, Process], |world| {
    common(world.sandbox().await).await;
    world.assert_clean();
});

at!(gives_exactly_the_environment_and_directory, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let exec = Exec::new(["/usr/bin/env"]).env("ONLY", "this é\nline").cwd("/workspace");
    let text = sandbox.exec(exec).await.unwrap().finish().await.unwrap().text();
    let seen: BTreeMap<_, _> =
        text.split_inclusive('\n').filter_map(|line| line.trim_end().split_once('=')).collect();
    let mark: &[&str] =
        if world.level == Level::Process { &["ONLY", "WINDLASS_SANDBOX_ID"] } else { &["ONLY"] };
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), mark);
    assert!(text.contains("ONLY=this é\nline\n"));
    let exec = Exec::new(["/bin/pwd"]).cwd("/workspace");
    let pwd = sandbox.exec(exec).await.unwrap().finish().await.unwrap().text();
    let folder = world.folder("workspace-0");
    assert_eq!(
        Path::new(pwd.trim()),
        if world.level == Level::Process { &folder } else { Path::new("/workspace") }
    );
    sandbox.kill().await.unwrap();
});

at!(feeds_input_and_keeps_streams_apart_or_in_order, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let big = vec![b'x'; 3_000_000];
    let exec = Exec::new(["/bin/cat"]).stdin(big.clone());
    assert_eq!(sandbox.exec(exec).await.unwrap().finish().await.unwrap().stdout, big);
    let script = "echo a; echo b >&2; echo c; echo d >&2";
    let done = sandbox.exec(Exec::new(["/bin/sh", "-c", script])).await.unwrap().finish().await.unwrap();
    assert_eq!((done.text().as_str(), done.error_text().as_str()), ("a\nc\n", "b\nd\n"));
    let exec = Exec::new(["/bin/sh", "-c", script]).merge_output();
    let done = sandbox.exec(exec).await.unwrap().finish().await.unwrap();
    assert_eq!((done.text().as_str(), done.error_text().as_str()), ("a\nb\nc\nd\n", ""));
    sandbox.kill().await.unwrap();
});

at!(says_what_cannot_run, [Namespaces, UserNamespaces, Process], |world| {
    let workspace = world.folder("workspace-0");
    std::fs::write(workspace.join("text"), "no program").unwrap();
    let sandbox = world.sandbox().await;
    let error = sandbox.exec(Exec::new(["/workspace/none"])).await.unwrap_err();
    assert!(matches!(error, RuntimeError::ProgramNotFound { .. }), "{error}");
    let error = sandbox.exec(Exec::new(["/workspace"])).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotRunnable { .. }), "{error}");
    let argv = [workspace.join("text").display().to_string()];
    let error = sandbox.exec(Exec::new(argv).cwd("/workspace")).await.unwrap_err();
    assert!(
        matches!(error, RuntimeError::NotRunnable { .. } | RuntimeError::ProgramNotFound { .. }),
        "{error}"
    );
    let error = sandbox.exec(Exec::new(["/bin/true"]).cwd("/no/such/place")).await.unwrap_err();
    assert!(matches!(error, RuntimeError::WorkingDirectory { .. }), "{error}");
    let error = sandbox.exec(Exec::new([""; 0])).await.unwrap_err();
    assert!(error.to_string().contains("no program"), "{error}");
    sandbox.kill().await.unwrap();
});

at!(what_a_step_leaves_running_is_there_for_the_next, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let done =
        sh(&sandbox, "sleep 1000 >/dev/null 2>&1 & echo $! > \"${TMPDIR:-/tmp}/pid\"; echo started").await;
    assert_eq!(done.text(), "started\n");
    let done =
        sh(&sandbox, "kill -0 $(cat \"${TMPDIR:-/tmp}/pid\") && kill $(cat \"${TMPDIR:-/tmp}/pid\")").await;
    assert_eq!(done.exit, Exit::Code(0), "{}", done.error_text());
    sandbox.kill().await.unwrap();
});

at!(the_workspace_is_the_machines, [Namespaces, UserNamespaces, Process], |world| {
    let workspace = world.folder("workspace-0");
    std::fs::write(workspace.join("in"), "from outside").unwrap();
    let sandbox = world.sandbox().await;
    let exec =
        Exec::new(["/bin/sh", "-c", "cat in && mkdir -p sub && echo inside > sub/out"]).cwd("/workspace");
    let done = sandbox.exec(exec).await.unwrap().finish().await.unwrap();
    assert_eq!(done.text(), "from outside");
    assert_eq!(std::fs::read_to_string(workspace.join("sub/out")).unwrap(), "inside\n");
    assert!(sandbox.inside(&workspace.join("sub")).is_some());
    sandbox.kill().await.unwrap();
    assert!(workspace.join("sub/out").exists());
    world.assert_clean();
});

at!(a_read_only_bind_refuses_writes, [Namespaces, UserNamespaces], |world| {
    let mut spec = world.spec();
    spec.binds.push(windlass_runtime::Bind {
        host: world.folder("given"),
        inside: "/given/deep".into(),
        read_only: true,
    });
    let sandbox = world.start(spec).await;
    assert!(!sh(&sandbox, "touch /given/deep/x").await.exit.success());
    sandbox.kill().await.unwrap();
    assert!(!world.root.join("given/x").exists());
});

at!(use_is_told, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let process = sandbox
        .exec(Exec::new([
            "/bin/sh",
            "-c",
            "echo on; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; sleep 100",
        ]))
        .await
        .unwrap();
    let mut lines = BufReader::new(process.stdout).lines();
    while lines.next_line().await.unwrap().as_deref() != Some("done") {}
    let usage = sandbox.usage().await.unwrap();
    assert!(usage.cpu_nanos > 10_000_000 && usage.memory_bytes > 50_000 && usage.processes >= 1, "{usage:?}");
    sandbox.kill().await.unwrap();
});

at!(a_dropped_sandbox_ends, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let process = sandbox.exec(Exec::new(["/bin/sleep", "1000"])).await.unwrap();
    drop(sandbox);
    assert_eq!(process.wait().await.unwrap(), Exit::Signal(9));
    for _ in 0..500 {
        if std::fs::read_dir(world.root.join("scratch")).unwrap().next().is_none() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("its folder is still there");
});

at!(nonsense_is_refused_before_anything_is_made, [Process], |world| {
    let mut spec = world.spec();
    spec.id = "../x".into();
    assert!(matches!(world.runtime.start(spec).await, Err(RuntimeError::Invalid(_))));
    let spec = world.spec().bind("/", "/a/../../etc");
    assert!(matches!(world.runtime.start(spec).await, Err(RuntimeError::Invalid(_))));
    let spec = world.spec().bind(world.root.join("missing"), "/x");
    assert!(world.runtime.start(spec).await.is_err());
    world.assert_clean();
});

at!(a_network_of_its_own_has_loopback_only, [Namespaces, UserNamespaces], |world| {
    let mut spec = world.spec();
    spec.isolate_network = true;
    let sandbox = world.start(spec).await;
    let done = sh(&sandbox, "grep -c : /proc/net/dev; grep -q 'lo:' /proc/net/dev").await;
    assert_eq!((done.text().as_str(), done.exit), ("1\n", Exit::Code(0)), "{}", done.error_text());
    sandbox.kill().await.unwrap();
});

at!(a_network_of_its_own_is_reached_by_sockets_that_it_gives, [Namespaces, UserNamespaces], |world| {
    use nix::sys::socket::{Backlog, SockaddrIn, bind, connect, listen};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    let mut spec = world.spec();
    spec.isolate_network = true;
    let (one, shared) = (world.start(spec).await, world.start(world.spec()).await);
    // A port that nobody has on the machine.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = SockaddrIn::new(127, 0, 0, 1, port);
    assert!(one.listening().await.unwrap().is_empty());
    let server = one.socket(false).await.unwrap();
    bind(server.as_raw_fd(), &address).unwrap();
    listen(&server, Backlog::new(4).unwrap()).unwrap();
    assert_eq!(one.listening().await.unwrap().into_iter().collect::<Vec<_>>(), [port]);
    let client = TcpStream::from(one.socket(false).await.unwrap());
    let begun = connect(client.as_raw_fd(), &address);
    assert!(matches!(begun, Ok(()) | Err(nix::errno::Errno::EINPROGRESS)), "{begun:?}");
    let server = TcpListener::from(server);
    server.set_nonblocking(false).unwrap();
    let (accepted, _) = server.accept().unwrap();
    assert_eq!(accepted.peer_addr().unwrap(), client.local_addr().unwrap());
    assert_eq!(client.peer_addr().unwrap(), SocketAddr::from(([127, 0, 0, 1], port)));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the machine's network is another one");
    // In a network that is the machine's, nothing is handed out.
    assert!(matches!(shared.socket(false).await, Err(RuntimeError::Invalid(_))));
    assert!(matches!(shared.listening().await, Err(RuntimeError::Invalid(_))));
    one.kill().await.unwrap();
    assert!(one.socket(true).await.is_err());
    shared.kill().await.unwrap();
});

at!(many_at_once, [Namespaces, UserNamespaces, Process], |world| {
    let world = Arc::new(world);
    let mut tasks = Vec::new();
    for number in 0..12 {
        let world = world.clone();
        tasks.push(tokio::spawn(async move {
            let sandbox =
                world.start(world.spec().limit(Limits { processes: Some(50), ..Limits::default() })).await;
            let done = sh(&sandbox, &format!("echo {number}")).await;
            assert_eq!(done.text(), format!("{number}\n"));
            sandbox.kill().await.unwrap();
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.assert_clean();
});

at!(long_paths_and_many_layers_are_no_matter, [Namespaces, UserNamespaces], |world| {
    let long = world.folder(&["a-folder-with-a-rather-long-name:and\\marks"; 8].join("/"));
    let layers: Vec<_> = (0..60).map(|number| long.join(format!("layer-{number}"))).collect();
    for (number, layer) in layers.iter().enumerate() {
        std::fs::create_dir_all(layer).unwrap();
        std::fs::write(layer.join(format!("file-{number}")), "").unwrap();
        std::fs::write(layer.join("which"), number.to_string()).unwrap();
    }
    let spec =
        SandboxSpec::layers("long", long.join("scratch"), layers).bind("/usr", "/usr").bind("/lib", "/lib");
    let spec = if Path::new("/lib64").exists() { spec.bind("/lib64", "/lib64") } else { spec };
    let sandbox = world.start(spec).await;
    let exec = Exec::new(["/usr/bin/sh", "-c", "cat /which; ls / | grep -c ^file-"]).env("PATH", "/usr/bin");
    let done = sandbox.exec(exec).await.unwrap().finish().await.unwrap();
    assert_eq!(done.text(), "060\n", "{}", done.error_text());
    sandbox.kill().await.unwrap();
});

at!(an_image_lies_over_the_machine, [Namespaces, UserNamespaces, Process], |world| {
    let write = |path: &str, text: &str, mode| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = world.file(path, text);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let script = "#!/bin/sh\nset -e\ncat words more.d/words\ntest -e /usr/bin/env\n\
                  test $# = 0 || { cat /windlass-image/words; test -e /etc/passwd; echo x > /srv/windlass/new; echo x > more.d/words; }\n";
    write("low/srv/windlass/words", "hidden", 0o644);
    write("low/srv/windlass/more.d/words", "and more", 0o644);
    write("top/srv/windlass/run", script, 0o755);
    write("top/srv/windlass/words", "top ", 0o644);
    let flat = world.level == Level::Process;
    if flat {
        // Plain processes see one layer at a time.
        write("top/srv/windlass/more.d/words", "and more", 0o644);
    } else {
        write("top/windlass-image/words", " at the root", 0o644);
        write("top/etc/windlass-image", "", 0o644);
    }
    let mut spec = world.spec();
    spec.root = Root::MachineWithLayers(vec![world.root.join("top"), world.root.join("low")]);
    let sandbox = world.start(spec).await;
    let argv = ["/srv/windlass/run", "everything"];
    let exec = Exec::new(argv[..if flat { 1 } else { 2 }].iter().copied()).cwd("/srv/windlass");
    let done = sandbox.exec(exec.envs(sandbox.environment())).await.unwrap().finish().await.unwrap();
    let said = if flat { "top and more" } else { "top and more at the root" };
    assert_eq!((done.text().as_str(), done.exit), (said, Exit::Code(0)), "{}", done.error_text());
    sandbox.kill().await.unwrap();
    assert!(!world.root.join("top/srv/windlass/new").exists() && !Path::new("/srv/windlass").exists());
    assert_eq!(
        std::fs::read_to_string(world.root.join("low/srv/windlass/more.d/words")).unwrap(),
        "and more"
    );
});
