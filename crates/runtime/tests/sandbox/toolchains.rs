//! The machine's toolchains work in a job, also those below a home folder; what they write is thrown away.

use std::path::Path;

use crate::world::{at, sh};

at!(toolchains_are_found_and_run, [Namespaces, UserNamespaces, Process], |world| {
    let sandbox = world.sandbox().await;
    let on_machine = |program: &str| {
        let found = std::env::var("PATH")
            .unwrap_or_default()
            .split(':')
            .map(|dir| Path::new(dir).join(program))
            .any(|p| p.metadata().is_ok());
        if !found {
            windlass_testkit::skip(
                "toolchains_are_found_and_run",
                &format!("no {program} that this user can reach"),
            );
        }
        found
    };
    for (program, script, expected) in [
        ("cargo", "cargo --version && rustc --version", "rustc 1."),
        (
            "python3",
            "python3 -c 'import ssl, sqlite3, sys; print(\"python\", sys.version_info[0])'",
            "python 3",
        ),
        ("node", "node -e 'console.log(\"node\", 6 * 7)'", "node 42"),
        (
            "gcc",
            "cd ${TMPDIR:-/tmp} && echo 'int main(){return 0;}' > a.c && gcc a.c -o a && ./a && echo compiled",
            "compiled",
        ),
        (
            "git",
            "cd ~ && git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty -m m && git log --format=%s",
            "m\n",
        ),
    ] {
        if on_machine(program) {
            let done = sh(&sandbox, script).await;
            assert!(
                done.exit.success() && done.text().contains(expected),
                "{program}: {} {}",
                done.text(),
                done.error_text()
            );
        }
    }
    sandbox.kill().await.unwrap();
    world.assert_clean();
});

at!(a_crate_builds_in_a_job, [Namespaces], |world| {
    if !Path::new("/root/.cargo/bin/cargo").exists() {
        windlass_testkit::skip("a_crate_builds_in_a_job", "no rustup toolchain in root's home");
        return;
    }
    let sandbox = world.sandbox().await;
    let done =
        sh(&sandbox, "cd /workspace && cargo init -q --name probe --vcs none . && cargo run -q --offline")
            .await;
    assert_eq!(done.text(), "Hello, world!\n", "{}", done.error_text());
    sandbox.kill().await.unwrap();
});

at!(what_a_job_does_to_toolchains_is_thrown_away, [Namespaces], |world| {
    let home = world.sandbox().await;
    let tools = [".cargo/bin", ".rustup", ".pyenv"].map(|name| home.home().join(name));
    let Some(tool) = tools.iter().find(|tool| tool.is_dir()) else {
        windlass_testkit::skip("what_a_job_does_to_toolchains_is_thrown_away", "no toolchain below the home");
        return;
    };
    let path = tool.display();
    let done = sh(&home, &format!("ls {path} | head -1 && echo evil > {path}/windlass-attack && rm -rf {path}/* && ls -A {path} | wc -l")).await;
    assert!(done.exit.success(), "{}", done.error_text());
    home.kill().await.unwrap();
    assert!(
        tool.is_dir()
            && std::fs::read_dir(tool).unwrap().count() > 1
            && !tool.join("windlass-attack").exists()
    );
    let next = world.sandbox().await;
    assert!(
        sh(&next, &format!("test -n \"$(ls -A {path})\" && test ! -e {path}/windlass-attack"))
            .await
            .exit
            .success()
    );
    next.kill().await.unwrap();
});

at!(a_sandbox_knows_the_platform_by_its_name, [Namespaces], |world| {
    let sandbox = world.sandbox().await;
    let done = sh(&sandbox, "getent hosts windlass.localhost").await;
    assert!(done.exit.success(), "{}", done.error_text());
    assert!(done.text().contains("127.0.0.1"), "{}", done.text());
    assert!(!std::fs::read_to_string("/etc/hosts").unwrap_or_default().contains("windlass.localhost"));
    sandbox.kill().await.unwrap();
    world.assert_clean();
});
