//! How runs go: order, results, logs, JSON, artifacts, caches, cancelling, and what is refused.

use std::process::Stdio;

use crate::fixture::{Repo, files, job, on_push};

#[test]
fn outputs_pass_along_and_conditions_hold() {
    let first = "  first:\n    runs-on: ubuntu-latest\n    outputs: {x: '${{ steps.s.outputs.x }}'}\n    steps:\n      - id: s\n        \
                 run: echo x=42 >> $GITHUB_OUTPUT\n";
    let jobs = first.to_owned()
        + &job("second", "needs: first", "echo got ${{ needs.first.outputs.x }}")
        + &job("never", "needs: first\nif: needs.first.outputs.x == '43'", "echo not this");
    let repo = Repo::with(&on_push(&jobs));
    repo.here(&[]).ended(0).says("got 42").says("never  skipped").says("'43'").says_not("│ not this");
}

#[test]
fn a_failure_fails_the_run_and_is_told() {
    let jobs = job("bad", "", "echo about to; exit 7") + &job("after", "needs: bad", "echo not this");
    let repo = Repo::with(&on_push(&jobs));
    let said = repo.here(&[]).ended(1).says("about to").says("Process completed with exit code 7.");
    said.says("bad  failure").says("after  skipped").says_not("│ not this");
    let jobs = job("bad", "continue-on-error: true", "exit 7") + &job("after", "", "echo fine");
    Repo::with(&on_push(&jobs)).here(&[]).ended(0).says("fine");
}

#[test]
fn json_is_one_object_a_line_and_nothing_else() {
    let script = "echo hello\nprintf '\\033[31mred\\033[0m no end'\necho '::warning file=a,line=1::careful'";
    let repo = Repo::with(&on_push(&(job("a", "", script) + &job("b", "needs: a", "exit 1"))));
    let said = repo.here(&["--json"]).ended(1);
    let objects = said.objects();
    let find = |kind: &str, name: &str, key: &str| {
        objects
            .iter()
            .filter(|o| o["type"] == kind && o["job"] == name)
            .map(|o| o[key].clone())
            .collect::<Vec<_>>()
    };
    assert!(find("log", "a", "line").contains(&"hello".into()));
    let log = objects.iter().find(|o| o["line"] == "hello").unwrap();
    assert_eq!(log["step"], "Run echo hello");
    assert!(find("step", "b", "conclusion").contains(&"failure".into()));
    assert_eq!(find("job", "a", "conclusion").last().unwrap(), "success");
    assert_eq!(find("job", "b", "conclusion").last().unwrap(), "failure");
    let run = objects.iter().rev().find(|o| o["type"] == "run").unwrap();
    assert_eq!((&run["conclusion"], &run["workflow"]), (&"failure".into(), &"CI".into()));
    assert!(objects.iter().all(|o| o["type"].is_string()));
}

#[test]
fn lines_come_in_order_and_all_of_them() {
    let repo = Repo::with(&on_push(&job("many", "", "seq 1 20000")));
    let said = repo.here(&[]).ended(0);
    let numbers: Vec<u32> =
        said.out.lines().filter_map(|l| l.strip_prefix("many │ ")?.parse().ok()).collect();
    assert_eq!(numbers, (1..=20_000).collect::<Vec<u32>>());
}

#[test]
fn artifacts_and_caches_are_kept_here() {
    let keep = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: mkdir -p out deps && echo text > out/file\n      - id: c\n        \
                uses: actions/cache@v4\n        with: {path: deps, key: 'deps-1'}\n      - run: echo hit=${{ \
                steps.c.outputs.cache-hit }}; echo x > deps/x\n      - uses: actions/upload-artifact@v4\n        with: {name: result, path: \
                out}\n";
    let fetch = "  b:\n    needs: a\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/download-artifact@v4\n        with: {name: \
                 result}\n      - run: cat file\n";
    let repo = Repo::with(&on_push(&format!("{keep}{fetch}")));
    repo.here(&[]).ended(0).says("b │ text").says("hit=\n");
    repo.here(&[]).ended(0).says("hit=true");
    let zips = files(&repo.cache()).into_iter().filter(|f| f.ends_with("result.zip")).count();
    assert_eq!(zips, 2, "one for each run");
}

#[test]
fn what_only_a_platform_can_do_is_refused_in_words() {
    let deploy = "  a:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - uses: windlass/deploy@v1\n        \
                  with: {image: 'x@sha256:0000000000000000000000000000000000000000000000000000000000000000'}\n";
    Repo::with(&on_push(deploy)).here(&[]).ended(1).says("windlass up");
}

#[test]
fn the_sandbox_keeps_what_is_not_the_jobs_out_of_reach() {
    let repo = Repo::with(&on_push(&job("a", "", "echo as $(id -u); test ! -e $SEEN && echo out of sight")));
    let hidden = repo.cache().parent().unwrap().join("hidden");
    std::fs::write(&hidden, "x").unwrap();
    let said = repo.run(&["--env", &format!("SEEN={}", hidden.display())]).ended(0);
    if said.err.contains("no sandbox can be had") {
        assert_eq!(said.err.matches("no sandbox can be had").count(), 1);
        return windlass_testkit::skip("a local run in the sandbox", "this machine permits none");
    }
    said.says("as 0");
}

#[test]
fn a_machine_without_sandbox_says_so_once_and_runs_all_the_same() {
    let repo = Repo::with(&on_push(&(job("a", "", "echo one") + &job("b", "", "echo two"))));
    let mut command = repo.command(&[]);
    let done = command.env("WINDLASS_SANDBOX", "process").output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("one") && out.contains("two"), "{out}{err}");
    assert_eq!(err.matches("no sandbox can be had").count(), 1, "{err}");
}

#[test]
fn an_interrupt_cancels_and_what_always_runs_still_runs() {
    let steps = "  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo started; sleep 1000\n      - run: echo not this\n      - if: \
                 always()\n        run: echo cleaned up\n";
    let repo = Repo::with(&on_push(steps));
    let mut command = repo.command(&["-P", "ubuntu-latest=host", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut seen = String::new();
    for line in lines.by_ref() {
        let line = line.unwrap();
        seen.push_str(&line);
        if line.contains(r#""line":"started""#) {
            break;
        }
    }
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    seen.extend(lines.map(|line| line.unwrap() + "\n"));
    assert_eq!(child.wait().unwrap().code(), Some(1), "{seen}");
    assert!(seen.contains(r#""line":"cleaned up""#), "{seen}");
    assert!(!seen.contains(r#""line":"not this""#), "{seen}");
    assert!(seen.contains(r#""conclusion":"cancelled""#), "{seen}");
}

#[test]
fn groups_and_time_limits_hold() {
    let timed = "  slow:\n    runs-on: ubuntu-latest\n    steps:\n      - timeout-minutes: 0.01\n        run: exec sleep 1000\n";
    let jobs = timed.to_owned() + &job("fine", "", "echo fine");
    Repo::with(&on_push(&jobs)).here(&[]).ended(1).says("fine").says("timed out after 0.01 minutes");
    let alone = "concurrency: one\nenv: {FILE: /nowhere}";
    let script = "mkdir ../../../../alone && sleep 0.2 && rmdir ../../../../alone";
    let jobs = job("x", alone, script) + &job("y", alone, script);
    Repo::with(&on_push(&jobs)).here(&["--parallel", "8"]).ended(0).says("x  success").says("y  success");
}

#[test]
fn images_are_built_into_a_layout_of_ones_own() {
    let steps = |image: &str| {
        format!(
            "      - run: echo hi > app && chmod +x app\n      - id: b\n        uses: windlass/build@v1\n        with: {{files: \"app:/app\", \
             entrypoint: /app, {image}}}\n      - run: echo made ${{{{ steps.b.outputs.reference }}}}\n"
        )
    };
    let jobs = |image: &str| format!("  a:\n    runs-on: ubuntu-latest\n    steps:\n{}", steps(image));
    let repo = Repo::with(&on_push(&jobs("tags: one")));
    let said =
        repo.here(&[]).ended(0).says("made localhost/shop@sha256:").complains("images are in the OCI layout");
    let layout = repo.cache().join("windlass/local/images/layout");
    assert!(said.err.contains(&layout.display().to_string()), "{}", said.err);
    let index = std::fs::read_to_string(layout.join("index.json")).unwrap();
    assert!(index.contains("\"shop:one\""), "{index}");
    repo.write(".github/workflows/ci.yml", &on_push(&jobs("base: 'localhost/shop:one', name: over")));
    repo.here(&[]).ended(0).says("made localhost/over@sha256:");
    // A program that knows layouts reads it.
    let source = format!("oci:{}:shop:one", layout.display());
    match std::process::Command::new("skopeo").args(["inspect", "--config", &source]).output() {
        Ok(seen) => {
            let text = String::from_utf8_lossy(&seen.stdout).into_owned();
            assert!(text.contains("/app"), "{text} {}", String::from_utf8_lossy(&seen.stderr));
        }
        Err(e) => windlass_testkit::skip("a layout read by skopeo", &e.to_string()),
    }
}

#[test]
fn a_run_that_watches_runs_again_when_a_file_changes() {
    use std::io::{BufRead as _, BufReader};
    let repo = Repo::with(&on_push(&job("a", "", "cat README")));
    repo.write(
        ".github/workflows/ci.yml",
        &on_push(&format!("{}      - run: \"true\"\n", job("a", "", "cat $SEEN"))),
    );
    let seen = repo.root().join("README");
    let mut command =
        repo.command(&["-P", "ubuntu-latest=host", "--watch", "--env", &format!("SEEN={}", seen.display())]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = |text: &str| lines.by_ref().map_while(Result::ok).any(|line| line.ends_with(text));
    assert!(heard("│ first"), "the first run");
    repo.write("README", "another text\n");
    assert!(heard("│ another text"), "the second run");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    child.wait().unwrap();
}
