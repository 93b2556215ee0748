//! Logins that other programs keep.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{Ended, Home, listening, port};

/// A registry that wants a login: `ali` with `open-sesame`.
fn closed_registry(root: &Path) -> Option<(Ended, String)> {
    let (port, users) = (port(), root.join("users"));
    std::fs::write(&users, "ali:$2b$05$abcdefghijklmnopqrstuutXu9KzOt.1yBoZUeFWoT/914/JfszCO\n").unwrap();
    let config = root.join("registry.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\nauth:\n  htpasswd:\n    realm: closed\n    path: {}\n",
        root.join("registry").display(),
        users.display()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new("docker-registry")
        .arg("serve")
        .arg(config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = child else {
        windlass_testkit::skip("logins_are_those_of_helpers", "docker-registry could not be started");
        return None;
    };
    let child = Ended(child);
    assert!(listening(port));
    Some((child, format!("127.0.0.1:{port}")))
}

#[test]
fn logins_are_those_of_helpers_and_files() {
    let home = Home::new();
    let Some((_registry, host)) = closed_registry(home.temp.path()) else { return };
    // It notes how it was called, and knows one server.
    let notes = home.path("notes");
    home.program(
        "docker-credential-vault",
        &format!(
            "#!/bin/sh\nread -r server\necho \"$# $1 $server\" >> {}\n[ \"$server\" = {host} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\n\
             echo '{{\"ServerURL\":\"x\",\"Username\":\"ali\",\"Secret\":\"open-sesame\"}}'\n",
            notes.display()
        ),
    );
    home.program("docker-credential-broken", "#!/bin/sh\necho 'the vault is shut'\nexit 1\n");
    home.program(
        "docker-credential-token",
        "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"hidden-word\"}'\n",
    );
    home.file("context/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let auth = serde_json::json!({ "auths": { &host: { "auth": "YWxpOm9wZW4tc2VzYW1l" } } }).to_string();
    let name = format!("{host}/app:1");
    for (config, podman, expected) in [
        (format!(r#"{{"credHelpers":{{"{host}":"vault"}}}}"#), "", Ok(())),
        (r#"{"credsStore":"vault"}"#.to_owned(), "", Ok(())),
        (auth.clone(), "", Ok(())),
        ("{}".to_owned(), auth.as_str(), Ok(())),
        ("{}".to_owned(), "", Err("login")),
        (r#"{"credHelpers":{"elsewhere.example":"vault"}}"#.to_owned(), "", Err("login")),
        (r#"{"credsStore":"broken"}"#.to_owned(), "", Err("the vault is shut")),
        (r#"{"credsStore":"not-there"}"#.to_owned(), "", Err("docker-credential-not-there")),
        (r#"{"credsStore":"token"}"#.to_owned(), "", Err("identity token")),
        (r#"{"credsStore":"x/../../bin/sh"}"#.to_owned(), "", Err("is no name of a credential helper")),
    ] {
        home.file("home/.docker/config.json", &config);
        home.file("home/.config/containers/auth.json", podman);
        let out = home.build(&["-t", &name, "--push", "."]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        match expected {
            Ok(()) => assert!(out.status.success(), "{config}: {said}"),
            Err(why) => assert!(!out.status.success() && said.contains(why), "{config}: {said}"),
        }
        assert!(!said.contains("open-sesame") && !said.contains("hidden-word"), "{said}");
    }
    let notes = std::fs::read_to_string(notes).unwrap();
    assert!(!notes.is_empty() && notes.lines().all(|line| line == format!("1 get {host}")), "{notes}");
}
