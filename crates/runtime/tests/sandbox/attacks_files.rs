//! A job that looks for what it must not read, and writes where nothing may stay.

use std::io::Write as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use windlass_runtime::{Exec, Runtime as _};

use crate::world::{at, refused, sh};

const LOOT: &str = "LOOT-5c1f";

at!(the_data_directory_is_out_of_reach, [Namespaces, UserNamespaces], |world| {
    let file = world.file("data/keys/master", LOOT);
    let path = file.display().to_string();
    let top = world.root.display();
    let sandbox = world.sandbox().await;
    refused(&sandbox, &format!("cat {path}"), LOOT).await;
    refused(&sandbox, &format!("cat /proc/1/root{path}"), LOOT).await;
    refused(&sandbox, &format!("cat /proc/self/root{path}"), LOOT).await;
    refused(&sandbox, &format!("umount -l {top}; rmdir {top}; mount -o remount,rw {top}; cat {path}"), LOOT)
        .await;
    refused(&sandbox, &format!("rm -rf {top}; mkdir -p {top}; cat {path}"), LOOT).await;
    refused(&sandbox, &format!("mkdir /tmp/b; mount --bind / /tmp/b; cat /tmp/b{path}"), LOOT).await;
    refused(&sandbox, &format!("mkdir -p /tmp/c; unshare -Urm sh -c 'umount -l {top}; cat {path}; mount --bind / /tmp/c; cat /tmp/c{path}; mount --rbind / /tmp/c; umount -R /tmp/c{top}; cat /tmp/c{path}'"), LOOT).await;
    refused(&sandbox, &format!("cd /workspace; for up in .. ../.. ../../.. ../../../..; do cat $up{path} $up/data/keys/master; done; cat {path}"), LOOT).await;
    refused(
        &sandbox,
        &format!("mv $(dirname {top}) /tmp/moved && cat /tmp/moved/$(basename {top})/data/keys/master"),
        LOOT,
    )
    .await;
    sandbox.kill().await.unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), LOOT);
});

at!(a_data_directory_made_later_is_out_of_reach_too, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.start(world.spec().hide(world.root.join("later"))).await;
    let file = world.file("later/secret", LOOT);
    refused(&sandbox, &format!("cat {}", file.display()), LOOT).await;
    sandbox.kill().await.unwrap();
});

at!(another_jobs_workspace_is_out_of_reach, [Namespaces, UserNamespaces], |world| {
    let (one, two) = (world.sandbox().await, world.sandbox().await);
    assert!(
        sh(&one, &format!("echo {LOOT} > /workspace/mine; echo {LOOT} > /tmp/mine")).await.exit.success()
    );
    refused(&two, "cat /workspace/mine /tmp/mine /proc/*/root/workspace/mine", LOOT).await;
    let folder = world.root.join("workspace-0");
    refused(&two, &format!("cat {}/mine /workspace/../workspace-0/mine", folder.display()), LOOT).await;
    let scratch = world.root.join("scratch");
    refused(&two, &format!("grep -r {LOOT} {}", scratch.display()), &format!("{LOOT}\n")).await;
    one.kill().await.unwrap();
    two.kill().await.unwrap();
});

at!(keys_and_tokens_of_homes_are_not_there, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    let tools = [
        ".rustup", ".cargo", ".pyenv", ".nvm", ".local", ".volta", ".asdf", ".rbenv", ".sdkman", ".bun",
        ".deno", ".dotnet", ".go", "go", ".npm", ".m2", ".gradle", ".cache",
    ];
    for home in ["/root", sandbox.home().to_str().unwrap()] {
        let seen = sh(&sandbox, &format!("ls -A {home}")).await.text();
        for name in seen.lines() {
            assert!(tools.contains(&name), "{home}/{name} is seen");
        }
        for name in [
            ".ssh",
            ".aws",
            ".docker",
            ".netrc",
            ".git-credentials",
            ".npmrc",
            ".pypirc",
            ".kube",
            ".gnupg",
            ".config",
            ".cargo/credentials",
            ".cargo/credentials.toml",
            ".bash_history",
        ] {
            refused(
                &sandbox,
                &format!("ls -d {home}/{name}"),
                name.trim_start_matches('x').get(..0).map_or("", |_| "\u{0}"),
            )
            .await;
        }
    }
    let people = sh(&sandbox, "ls -A /home").await.text();
    let own = sandbox
        .home()
        .strip_prefix("/home")
        .ok()
        .and_then(|path| path.iter().next())
        .map(|name| name.to_string_lossy().into_owned());
    assert!(people.lines().all(|name| Some(name.to_owned()) == own), "{people}");
    // A home is writable, and thrown away.
    assert!(sh(&sandbox, "echo x > ~/written && cat ~/written").await.exit.success());
    sandbox.kill().await.unwrap();
});

at!(password_hashes_and_host_keys_are_not_there, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    for file in ["/etc/shadow", "/etc/gshadow", "/etc/shadow-"] {
        let seen = sh(&sandbox, &format!("cat {file}; unshare -Urm sh -c 'umount {file}; cat {file}'; chmod 777 {file}; cat {file}; rm -f {file}; cat {file}")).await;
        assert!(!seen.text().contains("root:"), "{file}: {}", seen.text());
    }
    let seen = sh(&sandbox, "cat /etc/ssh/*_key /etc/ssl/private/*").await.text();
    assert!(!seen.contains("PRIVATE"), "{seen}");
    sandbox.kill().await.unwrap();
});

at!(the_machines_sockets_are_not_there, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    for path in
        ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd", "/run/systemd/private", "/run/dbus"]
    {
        assert!(!sh(&sandbox, &format!("ls {path}")).await.exit.success(), "{path}");
    }
    let found =
        sh(&sandbox, "find / -xdev -type s 2>/dev/null; find /run /tmp /var/tmp /dev -type s").await.text();
    let reachable: Vec<&str> = found
        .lines()
        .filter(|path| ["/run", "/tmp", "/var/run", "/dev"].iter().any(|p| path.starts_with(p)))
        .collect();
    assert!(reachable.is_empty(), "{reachable:?}");
    sandbox.kill().await.unwrap();
});

at!(a_socket_on_the_machines_disk_does_not_answer, [Namespaces], |world| {
    // In a folder that is not hidden: the overlay shows the name, but nobody listens behind it.
    let listener = UnixListener::bind("/srv/windlass-test.sock").unwrap();
    let sandbox = world.sandbox().await;
    refused(&sandbox, &format!("perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); connect(S,sockaddr_un(\"/srv/windlass-test.sock\")) or die; print \"{LOOT}\"'"), LOOT).await;
    sandbox.kill().await.unwrap();
    drop(listener);
    std::fs::remove_file("/srv/windlass-test.sock").unwrap();
});

at!(abstract_sockets_of_the_machine_do_not_answer, [Namespaces, UserNamespaces, Process], |world| {
    if !world.runtime.capabilities().abstract_sockets_hidden {
        windlass_testkit::skip(
            "abstract_sockets_of_the_machine_do_not_answer",
            "this kernel has no Landlock scopes",
        );
        return;
    }
    let name = format!("windlass-test-{}-{}", std::process::id(), world.level);
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(LOOT.as_bytes());
        }
    });
    let sandbox = world.sandbox().await;
    let connect = format!(
        "perl -MSocket -e 'socket(S,AF_UNIX,SOCK_STREAM,0); connect(S,pack(\"Sxa*\",AF_UNIX,\"{name}\")) or die \"refused: $!\"; print <S>'"
    );
    refused(&sandbox, &connect, LOOT).await;
    sandbox.kill().await.unwrap();
    // The same line works outside: the attack itself is sound.
    let outside = std::process::Command::new("sh").args(["-c", &connect]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&outside.stdout),
        LOOT,
        "{}",
        String::from_utf8_lossy(&outside.stderr)
    );
});

at!(a_job_may_write_anywhere_and_leaves_nothing, [Namespaces], |world| {
    let sandbox = world.sandbox().await;
    let script = "set -e; for d in / /etc /usr/bin /var/lib /opt /root /usr/local; do echo x > $d/windlass-attack; done; \
        echo 'evil ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers.windlass; rm -rf /usr/share/doc; mv /etc/hostname /etc/hostname.moved; \
        useradd -m windlassattack >/dev/null 2>&1 || true; chown 123:456 /etc/windlass-attack; ls /usr/bin/windlass-attack";
    let done = sh(&sandbox, script).await;
    assert!(done.exit.success(), "{}", done.error_text());
    let next = world.sandbox().await;
    for sandbox in [&next] {
        assert!(
            !sh(sandbox, "ls /windlass-attack || ls /etc/windlass-attack || ls /usr/bin/windlass-attack")
                .await
                .exit
                .success()
        );
    }
    for path in [
        "/windlass-attack",
        "/etc/windlass-attack",
        "/usr/bin/windlass-attack",
        "/var/lib/windlass-attack",
        "/root/windlass-attack",
        "/etc/sudoers.windlass",
        "/etc/hostname.moved",
        "/home/windlassattack",
    ] {
        assert!(!Path::new(path).exists(), "{path} is on the machine");
    }
    assert!(Path::new("/usr/share/doc").exists());
    sandbox.kill().await.unwrap();
    next.kill().await.unwrap();
    world.assert_clean();
});

at!(an_ordinary_users_job_cannot_write_to_the_machine, [UserNamespaces], |world| {
    let outside = world.folder("elsewhere");
    let sandbox = world.sandbox().await;
    for folder in ["/usr", "/etc", "/var/lib", "/opt"] {
        assert!(!sh(&sandbox, &format!("touch {folder}/x")).await.exit.success(), "{folder}");
    }
    sh(&sandbox, &format!("mkdir -p {0}; echo x > {0}/planted", outside.display())).await;
    assert!(!outside.join("planted").exists());
    let done = sh(&sandbox, "touch /tmp/x /var/tmp/x ~/x /run/x /dev/shm/x /workspace/x").await;
    assert!(done.exit.success(), "{}", done.error_text());
    sandbox.kill().await.unwrap();
    world.assert_clean();
});

at!(closed_folders_and_odd_names_are_cleaned_up, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let script = "cd \"${TMPDIR:-/tmp}\" && mkdir -p a/b/c && touch 'a/b/new\nline' && ln -s / a/root && mkfifo a/pipe && chmod 000 a/b a";
    let done = sh(&sandbox, script).await;
    assert!(done.exit.success(), "{}", done.error_text());
    sandbox.kill().await.unwrap();
    world.assert_clean();
});

at!(windlass_own_binary_cannot_be_overwritten, [Namespaces, UserNamespaces], |world| {
    // As CVE-2019-5736 did to runc: run the runtime's binary inside, keep a handle, write to it afterwards.
    let copy = world.root.join("windlass");
    std::fs::copy(crate::world::EXE, &copy).unwrap();
    let config = windlass_runtime::RuntimeConfig {
        exe: copy.clone(),
        scratch_root: world.root.join("scratch"),
        level: Some(world.level),
    };
    let runtime = windlass_runtime::Linux::open(config).await.unwrap();
    let sandbox = runtime.start(world.spec()).await.unwrap();
    let held = sandbox.exec(Exec::new(["/proc/self/exe", "hold"])).await.unwrap();
    let pid = held.control.pid();
    let script = format!(
        "readlink /proc/{pid}/exe; exec 3</proc/{pid}/exe || exit 9; kill -9 {pid}; sleep 0.2; echo {LOOT} > /proc/self/fd/3"
    );
    let done = sh(&sandbox, &script).await;
    assert!(!done.exit.success(), "{}", done.text());
    assert!(
        done.exit.code() != 9 && done.error_text().contains("Read-only"),
        "the attack got as far: {}",
        done.error_text()
    );
    sandbox.kill().await.unwrap();
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(crate::world::EXE).unwrap());
});

at!(an_images_links_do_not_lead_out, [Namespaces, UserNamespaces], |world| {
    // Every place that something is attached to is a link to the machine's folder.
    let target = world.folder("target");
    let layer = world.folder("layer");
    for name in ["etc", "proc", "dev", "data", "tmp"] {
        std::os::unix::fs::symlink(&target, layer.join(name)).unwrap();
    }
    let scratch = world.root.join("scratch/links");
    let spec = windlass_runtime::SandboxSpec::layers("links", scratch, vec![layer])
        .bind(world.folder("volume"), "/data");
    if let Ok(sandbox) = world.runtime.start(spec).await {
        sandbox.kill().await.unwrap();
    }
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 0, "something was made on the machine");
    world.assert_clean();
});
