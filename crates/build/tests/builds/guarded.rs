//! Secrets and agents: seen by the step that asks for them, and by nobody else.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use windlass_build::{CacheTo, Compression, Destination, Output};
use windlass_kernel::Secret;

use crate::fixture::{Heard, Site};

const VALUE: &str = "K7-hidden-value-9q";

/// The files below a folder that hold one of the texts, as they are or compressed.
fn holders(root: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
        if meta.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        } else if meta.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let mut plain = Vec::new();
            let gz =
                std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut plain);
            let plain = if gz.is_ok() { plain } else { zstd::decode_all(&bytes[..]).unwrap_or_default() };
            let has = |bytes: &[u8]| {
                texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
            };
            if has(&bytes) || has(&plain) || has(path.to_string_lossy().as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_nowhere_but_in_its_step() {
    let Some(site) = Site::with_steps("a_secret_is_nowhere").await else { return };
    let dockerfile = "FROM base\n\
        RUN --mount=type=secret,id=s,target=/t/s,mode=0440,uid=1000,gid=1001 stat -c '%a %u %g' /t/s && cat /t/s && wc -c < /t/s > /size\n\
        RUN --mount=type=secret,id=s,env=VARIABLE echo \"$VARIABLE\" && test -n \"$VARIABLE\" && test ! -e /run/secrets/s\n\
        RUN --mount=type=secret,id=s,required=true --mount=type=secret,id=not-there cat /run/secrets/s; ls /run/secrets\n\
        USER app\nRUN --mount=type=secret,id=s,uid=1000 cat /run/secrets/s >&2\n";
    let mut request = site.request(dockerfile);
    request.secrets.insert("s".into(), Secret::new(VALUE.as_bytes().to_vec()));
    request.tags = vec!["with-secret".parse().unwrap()];
    let place = |name: &str| Destination::Path(site.path("outputs").join(name));
    std::fs::create_dir_all(site.path("outputs")).unwrap();
    request.outputs = vec![
        Output::Oci { to: place("oci.tar"), folder: false, compression: Compression::None },
        Output::Oci { to: place("oci"), folder: true, compression: Compression::Zstd },
        Output::Docker { to: place("docker.tar"), compression: Compression::Gzip },
        Output::Local(site.path("outputs/local")),
    ];
    request.cache_to = vec![CacheTo::Local(site.path("outputs/cache"))];
    let built = site.run(request.clone()).await.unwrap();
    assert_eq!(built.text("size").trim(), VALUE.len().to_string());
    assert!(built.heard.lines().contains(&"440 1000 1001".to_owned()), "{:?}", built.heard.lines());
    assert_eq!(built.heard.lines().iter().filter(|line| line.contains("***")).count(), 4);
    // What fails with it shows it as little.
    request.dockerfile = windlass_build::DockerfileSource::Text(format!(
        "FROM base\nRUN --mount=type=secret,id=s,env=V echo {VALUE}; echo $V >&2; false\n"
    ));
    let failed = site.run(request).await.err().unwrap();
    assert!(failed.to_string().contains("***"), "{failed}");
    let step = failed.to_string();
    let shown = step.lines().filter(|line| !line.contains(">>>"));
    assert!(!shown.clone().any(|line| line.contains(VALUE)), "{step}");
    let heard = format!("{:?} {:?}", built.heard.0.lock().unwrap(), windlass_build::metadata(&built.outcome));
    assert!(!heard.contains(VALUE));
    // The builder lives still: nothing waits for its end to be removed.
    assert_eq!(holders(site.temp.path(), &[VALUE]), Vec::<PathBuf>::new());
    assert!(
        !holders(site.temp.path(), &["440 1000"]).is_empty() || built.has("size"),
        "the search finds what is there"
    );
    std::fs::write(site.path("planted"), VALUE).unwrap();
    assert_eq!(holders(site.temp.path(), &[VALUE]).len(), 1, "the search finds what is there");
}

/// An agent with a key, if the machine has the programs.
struct Agent {
    child: Child,
    socket: PathBuf,
    fingerprint: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn agent(test: &str, folder: &Path, comment: &str) -> Option<Agent> {
    std::fs::create_dir_all(folder).unwrap();
    let (socket, key) = (folder.join("agent.sock"), folder.join("key"));
    let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
    let Ok(child) = child else {
        windlass_testkit::skip(test, "there is no ssh-agent");
        return None;
    };
    let mut agent = Agent { child, socket, fingerprint: String::new() };
    for _ in 0..100 {
        if agent.socket.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let run = |command: &mut Command| {
        let out = command.output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    };
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"]).arg(&key));
    run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &agent.socket));
    let listed = run(Command::new("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &agent.socket));
    listed.split_whitespace().nth(1).unwrap().clone_into(&mut agent.fingerprint);
    std::fs::remove_file(key).unwrap();
    std::fs::remove_file(folder.join("key.pub")).unwrap();
    Some(agent)
}

/// Puts the program `ssh-add`, with what it is linked to, into the context.
fn put_ssh_add(site: &Site) {
    let tools = site.path("context/tools");
    let listed = Command::new("ldd").arg("/usr/bin/ssh-add").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    for file in libraries.chain([PathBuf::from("/usr/bin/ssh-add")]) {
        let to = tools.join(file.strip_prefix("/").unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&file, to).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_reached_through_a_socket_of_the_steps_own() {
    const TEST: &str = "an_agent_is_reached";
    let Some(site) = Site::with_steps(TEST).await else { return };
    let Some(first) = agent(TEST, &site.path("agents/one"), "key-of-one") else { return };
    let Some(second) = agent(TEST, &site.path("agents/two"), "key-of-two") else { return };
    put_ssh_add(&site);
    let mut request = site.request(
        "FROM base\nCOPY tools /\n\
         RUN --mount=type=ssh ssh-add -l; stat -c 'socket %a %u %g' $SSH_AUTH_SOCK\n\
         RUN --mount=type=ssh,id=other ssh-add -l\n\
         RUN --mount=type=ssh,id=none,target=/n test ! -e /n && echo \"not there: $SSH_AUTH_SOCK.\"\n\
         USER app\n\
         RUN --mount=type=ssh,uid=1000,gid=1001,mode=0660 ssh-add -l; stat -c 'socket %a %u %g' $SSH_AUTH_SOCK\n\
         RUN --mount=type=ssh ssh-add -l 2>/dev/null || echo closed to others\n",
    );
    request.ssh.insert("default".into(), first.socket.clone());
    request.ssh.insert("other".into(), second.socket.clone());
    request.tags = vec!["with-agent".parse().unwrap()];
    let built = site.run(request.clone()).await.unwrap();
    let lines = built.heard.lines();
    let told = |agent: &Agent| lines.iter().filter(|line| line.contains(&agent.fingerprint)).count();
    assert_eq!((told(&first), told(&second)), (2, 1), "{lines:?}");
    for line in ["socket 600 0 0", "socket 660 1000 1001", "not there: .", "closed to others"] {
        assert!(lines.iter().any(|found| found == line), "{line}: {lines:?}");
    }
    assert!(
        !built.files.keys().any(|path| path.contains("buildkit") || path == "n"),
        "{:?}",
        built.files.keys()
    );
    // Another agent is no other step, and nothing of the first one was kept.
    let texts = [first.fingerprint.as_str(), "key-of-one", first.socket.to_str().unwrap()];
    assert_eq!(holders(site.builder.store().root(), &texts), Vec::<PathBuf>::new());
    let sockets = std::fs::read_dir(site.builder.store().root().join("work")).unwrap().flatten();
    let left = sockets.flat_map(|work| std::fs::read_dir(work.path()).unwrap().flatten());
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with("ssh-")).count(), 0);
    request.ssh.insert("default".into(), second.socket.clone());
    let again = site.builder.build(request, Arc::new(Heard::default())).await.unwrap();
    assert_eq!(again.cached, again.steps);
    let missing = site.build("FROM base\nRUN --mount=type=ssh,required=true true\n").await.err().unwrap();
    assert!(missing.to_string().contains("ssh default: not found"), "{missing}");
}
