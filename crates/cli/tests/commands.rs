//! The binary as a program calls it: exit codes, what goes to which stream, and what it says when nothing runs.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary with a data directory of its own and none of the machine's settings.
fn windlass(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    for name in ["WINDLASS_URL", "WINDLASS_TOKEN", "WINDLASS_DATA"] {
        command.env_remove(name);
    }
    command.args(args).arg("--data").arg(data).current_dir(data).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn exit_codes_are_those_of_the_reference() {
    let temp = tempfile::tempdir().unwrap();
    let cases: [(&[&str], i32, &str); 13] = [
        (&["--help"], 0, ""),
        (&["run", "list", "--help"], 0, ""),
        (&["--version"], 0, ""),
        (&["nonsense"], 2, "unrecognized subcommand"),
        (&["deploy", "tasks"], 2, "required"),
        (&["up", "--listen", "0.0.0.0:0"], 2, "--expose"),
        (&["status"], 5, "windlass up"),
        (&["project", "list"], 5, "windlass up"),
        (&["status", "--url", "http://127.0.0.1:1"], 4, "WINDLASS_TOKEN"),
        (&["lint", "not-there"], 3, "does not exist"),
        (&["lint"], 3, ".github/workflows"),
        (&["demo"], 2, "--yes"),
        (&["down"], 0, ""),
    ];
    for (args, code, said) in cases {
        let done = windlass(temp.path(), args);
        let error = text(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{args:?}: {error}");
        assert!(error.contains(said), "{args:?} says `{error}`, not `{said}`");
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "asking made files");
}

#[test]
fn nobody_at_an_address_is_code_5() {
    let temp = tempfile::tempdir().unwrap();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
    command.env("WINDLASS_TOKEN", "wlu_x").args([
        "run",
        "list",
        "--url",
        &format!("http://127.0.0.1:{port}"),
    ]);
    let done = command.current_dir(temp.path()).output().unwrap();
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    assert!(!text(&done.stderr).contains("wlu_x"));
}

#[test]
fn lint_finds_the_line() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join(".github/workflows");
    std::fs::create_dir_all(&folder).unwrap();
    let good = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo\n";
    std::fs::write(folder.join("ci.yml"), good).unwrap();
    let done = windlass(temp.path(), &["lint"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stdout));
    std::fs::write(folder.join("ci.yml"), good.replace("runs-on", "rns-on")).unwrap();
    let done = windlass(temp.path(), &["lint"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stdout).contains("ci.yml:4:5"), "{}", text(&done.stdout));
    let done = windlass(temp.path(), &["lint", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(findings.as_array().unwrap().iter().any(|f| f["line"] == 4 && f["column"] == 5), "{findings}");
}

#[test]
fn a_remote_is_not_added_where_there_is_no_repository() {
    let temp = tempfile::tempdir().unwrap();
    let done = windlass(temp.path(), &["project", "remote"]);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("git init"));
}

/// A machine with a store of builds and a data directory of its own, and no server.
struct Machine {
    temp: tempfile::TempDir,
}

impl Machine {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_windlass"));
        for name in ["WINDLASS_URL", "WINDLASS_TOKEN", "WINDLASS_DATA"] {
            command.env_remove(name);
        }
        command.env("WINDLASS_BUILD_STORE", self.temp.path().join("store"));
        command.args(args).arg("--data").arg(self.temp.path().join("data"));
        command.current_dir(self.temp.path()).stdin(Stdio::null()).output().unwrap()
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        let done = self.run(args);
        assert_eq!(done.status.code(), Some(0), "{args:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    #[track_caller]
    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// One on which `hello:1` was built, with two packages of Alpine's and one of npm's; and the image's id.
    fn with_an_image() -> (Self, String) {
        let machine = Self { temp: tempfile::tempdir().unwrap() };
        let context = machine.temp.path().join("hello");
        std::fs::create_dir(&context).unwrap();
        let write = |name: &str, text: &str| std::fs::write(context.join(name), text).unwrap();
        write("os-release", "ID=alpine\nVERSION_ID=3.20.1\nPRETTY_NAME=\"Alpine Linux v3.20\"\n");
        write("installed", "P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\nP:zlib\nV:1.3.1-r1\nA:x86_64\nL:Zlib\n\n");
        write("package.json", "{\"name\":\"left-pad\",\"version\":\"1.0.0\"}");
        let steps = [
            "FROM scratch",
            "COPY os-release /etc/os-release",
            "COPY installed /lib/apk/db/installed",
            "COPY package.json /node_modules/left-pad/package.json",
            "",
        ];
        write("Dockerfile", &steps.join("\n"));
        let id = machine.ok(&["build", "--quiet", "-t", "hello:1", "hello"]).trim().to_owned();
        assert!(id.starts_with("sha256:"), "{id}");
        (machine, id)
    }
}

#[test]
fn images_of_this_machine_are_looked_into_without_a_server() {
    let (machine, id) = Machine::with_an_image();
    let title = format!("hello:1, image of this machine, {id}\n");
    let told = machine.ok(&["image", "inspect", "hello:1"]);
    assert!(told.starts_with(&format!("{title}3 packages, Alpine Linux v3.20\n")), "{told}");
    let known = machine.json(&["image", "inspect", "hello:1", "--json"]);
    assert_eq!(known["source"], "image of this machine");
    assert_eq!((&known["packages"], &known["digest"]), (&3.into(), &id.clone().into()), "{known}");

    let done = machine.run(&["image", "sbom", "hello:1"]);
    assert!(text(&done.stderr).contains(&title), "{}", text(&done.stderr));
    let list: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let parts = list["components"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
    assert!(["musl", "zlib", "left-pad"].iter().all(|name| names.contains(name)), "{names:?}");
    let list = machine.json(&["image", "sbom", "hello:1", "--format", "spdx"]);
    assert_eq!(list["spdxVersion"], "SPDX-2.3");

    // Who names a server is not answered from here; who names what nobody has hears of both.
    let elsewhere = machine.run(&["image", "inspect", "hello:1", "--url", "http://127.0.0.1:1"]);
    assert_eq!(elsewhere.status.code(), Some(4), "{}", text(&elsewhere.stdout));
    let none = machine.run(&["image", "vulns", "hello:2"]);
    let said = text(&none.stderr);
    assert_eq!(none.status.code(), Some(5), "{said}");
    assert!(
        said.contains("`hello:2` is none of this machine's images") && said.contains("windlass up"),
        "{said}"
    );
}

#[test]
fn vulnerabilities_of_an_image_of_this_machine_are_told_without_a_server() {
    let (machine, id) = Machine::with_an_image();
    // Where there are no advisories nothing is clean; with some, what they are about is found.
    let told = machine.ok(&["image", "vulns", "hello:1"]);
    assert!(told.starts_with(&format!("hello:1, image of this machine, {id}\n")), "{told}");
    assert!(told.contains("not checked"), "{told}");
    let advisory = serde_json::json!({
        "id": "CVE-2099-1", "modified": "2099-01-01T00:00:00Z", "summary": "pads too far", "affected": [{
            "package": { "ecosystem": "npm", "name": "left-pad" },
            "ranges": [{ "type": "SEMVER", "events": [{ "introduced": "0" }, { "fixed": "1.0.1" }] }],
        }],
    });
    std::fs::write(machine.temp.path().join("advisory.json"), advisory.to_string()).unwrap();
    machine.ok(&["vulndb", "import", "advisory.json"]);
    let done = machine.run(&["image", "vulns", "hello:1", "--format", "json", "--fail-on", "low"]);
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let told: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(told["source"], "image of this machine");
    let found = &told["found"][0];
    assert_eq!((&found["id"], &found["fixed"]), (&"CVE-2099-1".into(), &"1.0.1".into()), "{told}");
    assert!(machine.ok(&["image", "vulns", "hello:1", "--format", "sarif"]).contains("CVE-2099-1"));
}

#[test]
fn to_ask_for_an_image_makes_nothing_where_nothing_was_built() {
    let machine = Machine { temp: tempfile::tempdir().unwrap() };
    let refused = machine.run(&["image", "inspect", "hello:1"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("windlass up"), "{}", text(&refused.stderr));
    assert_eq!(std::fs::read_dir(machine.temp.path()).unwrap().count(), 0, "asking made files");
}
