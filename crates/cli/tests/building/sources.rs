//! Where files come from: standard input, HTTPS, clones of a repository.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{Ended, Home, file_of_tar, listening, port, succeeded};

#[test]
fn standard_input_is_a_dockerfile_or_a_tar() {
    let home = Home::new();
    home.file("context/f", "from a tar");
    home.file("context/Other", "FROM scratch\nCOPY f /g\n");
    let tar = home.path("c.tar");
    assert!(
        Command::new("tar")
            .arg("-cf")
            .arg(&tar)
            .args(["f", "Other"])
            .current_dir(home.path("context"))
            .status()
            .unwrap()
            .success()
    );
    let out = home.path("out.tar").display().to_string();
    let dest = format!("type=tar,dest={out}");
    for (stdin, args, name, text) in [
        (b"FROM scratch\nCOPY <<EOF /h\nhere\nEOF\n".to_vec(), vec!["-o", &dest, "-"], "h", "here\n"),
        (std::fs::read(&tar).unwrap(), vec!["-f", "Other", "-o", &dest, "-"], "g", "from a tar"),
        (b"FROM scratch\nCOPY f /i\n".to_vec(), vec!["-f", "-", "-o", &dest, "."], "i", "from a tar"),
    ] {
        let mut child =
            home.command(&[], &args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&stdin).unwrap();
        succeeded(child.wait_with_output().unwrap());
        assert_eq!(file_of_tar(out.as_ref(), name), text, "{args:?}");
        assert!(home.left().is_empty(), "{:?}", home.left());
    }
    let both = home.build(&["-f", "-", "-"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn https_is_spoken_and_strangers_are_not_trusted() {
    let home = Home::new();
    let (key, certificate, port) = (home.path("key.pem"), home.path("cert.pem"), port());
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:false", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        return windlass_testkit::skip("https_is_spoken", "openssl cannot make a certificate");
    }
    home.file("served/file.txt", "over TLS");
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-WWW", "-accept", &port.to_string(), "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .current_dir(home.path("served"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Ended(server.unwrap());
    assert!(listening(port));
    home.file("context/Dockerfile", &format!("FROM scratch\nADD https://localhost:{port}/file.txt /\n"));
    let refused = home.build(&["."]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("certificate"), "{said}");
    let out = home.path("out.tar");
    let dest = format!("type=tar,dest={}", out.display());
    succeeded(home.command(&[], &["-o", &dest, "."]).env("SSL_CERT_FILE", &certificate).output().unwrap());
    assert_eq!(file_of_tar(&out, "file.txt"), "over TLS");
}

#[test]
fn two_clones_give_one_digest() {
    let home = Home::new();
    let git = |args: &[&str]| {
        let out = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t.example"])
            .args(args)
            .current_dir(home.temp.path())
            .output()
            .unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    home.file(
        "origin/Dockerfile",
        "FROM scratch\nARG SOURCE_DATE_EPOCH\nWORKDIR /w/deep\nCOPY . .\nADD --chmod=750 b /new/folder/b\nCOPY <<EOF /here\nx\nEOF\n",
    );
    home.file("origin/b", "b");
    home.file("origin/d/c", "c");
    git(&["init", "-q", "origin"]);
    git(&["-C", "origin", "add", "-A"]);
    git(&["-C", "origin", "commit", "-q", "-m", "x"]);
    let mut digests = Vec::new();
    for (number, umask) in [(1_u64, "022"), (2, "077"), (3, "002")] {
        let clone = format!("clone-{number}");
        git(&["clone", "-q", "origin", &clone]);
        std::fs::remove_dir_all(home.path(&clone).join(".git")).unwrap();
        for name in ["b", "d/c", "d", "Dockerfile"] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_750_000_000 + number * 5000);
            std::fs::File::open(home.path(&clone).join(name)).unwrap().set_modified(time).unwrap();
        }
        let (layout, meta) = (home.path(&format!("l{number}")), home.path(&format!("m{number}")));
        let output = format!("type=oci,tar=false,rewrite-timestamp=true,dest={}", layout.display());
        let context = home.path(&clone).display().to_string();
        let mut args = vec!["--metadata-file", meta.to_str().unwrap(), "-o", &output, &context];
        if number == 3 {
            args.extend(["--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
        }
        let script = format!("umask {umask}; exec \"$@\"");
        let mut command = home.command(&["sh", "-c", &script, "sh"], &args);
        command.env("WINDLASS_BUILD_STORE", home.path(&format!("store-{number}")));
        if number != 3 {
            command.env("SOURCE_DATE_EPOCH", "1700000000");
        }
        succeeded(command.output().unwrap());
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
        digests.push(meta["containerimage.digest"].as_str().unwrap().to_owned());
    }
    assert_eq!((&digests[0], &digests[0]), (&digests[1], &digests[2]));
}
