//! The rules between a runner and the steps that it runs, one by one.

use windlass_api::Conclusion::{Failure, Success};

use crate::fixture::{Ran, job};

/// A rule: what a step does, how it ends, what must stand in the log, and what must not.
struct Rule {
    name: &'static str,
    script: &'static str,
    ends: windlass_api::Conclusion,
    says: &'static [&'static str],
    hides: &'static [&'static str],
}

const fn fails(name: &'static str, script: &'static str, says: &'static [&'static str]) -> Rule {
    Rule { name, script, ends: Failure, says, hides: &[] }
}

const fn works(
    name: &'static str,
    script: &'static str,
    says: &'static [&'static str],
    hides: &'static [&'static str],
) -> Rule {
    Rule { name, script, ends: Success, says, hides }
}

/// Runs each rule as a step of one job. Each begins and ends with a line of its own, so that the log can be cut.
async fn check(rules: &[Rule]) -> Ran {
    let mut body = String::from("steps:\n");
    for rule in rules {
        let (name, script) = (serde_json::json!(rule.name), serde_json::json!(rule.script));
        body.push_str(&format!("  - name: {name}\n    continue-on-error: true\n    run: {script}\n"));
    }
    let mut fixture = job(&body);
    fixture.assignment.secrets.insert(
        "SEVERAL".to_owned(),
        windlass_kernel::Secret::new("first-line-of-it\nsecond \"line\" of it\n".to_owned()),
    );
    let ran = fixture.run().await;
    let whole = ran.control.log();
    for (rule, view) in rules.iter().zip(&ran.views()[1..]) {
        let begin = usize::try_from(view.log_start).unwrap();
        let log = &whole[begin..usize::try_from(view.log_end.unwrap()).unwrap()];
        // What stands in the header of the step is its script, not what it said.
        let log = log.split_once("##[endgroup]").map_or(log, |(_, log)| log);
        assert_eq!(view.outcome, Some(rule.ends), "{}:\n{log}", rule.name);
        for part in rule.says {
            assert!(log.contains(part), "{}: `{part}` is missing in:\n{log}", rule.name);
        }
        for part in rule.hides {
            assert!(!log.contains(part), "{}: `{part}` shows in:\n{log}", rule.name);
        }
    }
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn environment_files_say_what_is_wrong_with_them() {
    check(&[
        fails("no pair", "echo nothing >> $GITHUB_ENV", &["Unable to process file command 'env' successfully.", "##[error]Invalid format 'nothing'"]),
        fails("no name", "echo =x >> $GITHUB_OUTPUT", &["file command 'output' successfully", "Invalid format '=x'. Name must not be empty"]),
        fails("no delimiter", "echo 'A<<' >> $GITHUB_STATE", &["file command 'state' successfully", "Invalid format 'A<<'. Name must not be empty and delimiter must not be empty"]),
        fails("no end", "printf 'A<<X\\nvalue\\n X\\n' >> $GITHUB_OUTPUT", &["Invalid value. Matching delimiter not found 'X'"]),
        fails("node options", "echo node_options=--x >> $GITHUB_ENV", &["Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command."]),
        fails("not text", "printf 'A=\\xff\\n' >> $GITHUB_ENV", &["not UTF-8"]),
        fails("too large", "head -c 17000000 /dev/zero | tr '\\0' x >> $GITHUB_ENV", &["larger than 16777216 bytes"]),
        works("artifacts", "mkdir -p d; printf x > d/app; echo d/app >> $GITHUB_ARTIFACTS; echo h/i@sha256:$(printf '%064d' 7) >> $GITHUB_ARTIFACTS; printf '%s' \"$(cat $GITHUB_ARTIFACTS_LIST)\" | tr -d '\"'; echo", &["{version:1,subjects:[]}", "The step declared 2 artifact(s); the job has 2."], &[]),
        works("artifacts so far", "echo wrong > $GITHUB_ARTIFACTS_LIST; echo d/app > $GITHUB_ARTIFACTS", &[], &["declared"]),
        works("artifacts of all", "cat $GITHUB_ARTIFACTS_LIST | tr -d '\"'; echo", &["{version:1,subjects:[{name:app,digest:sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881,kind:file},{name:h/i,digest:sha256:0000000000000000000000000000000000000000000000000000000000000007,kind:oci}]}"], &[]),
        fails("no artifact", "echo d/none >> $GITHUB_ARTIFACTS", &["##[error]Line 1 of $GITHUB_ARTIFACTS declares no artifact"]),
        fails("another artifact", "echo y > d/app; echo d/app >> $GITHUB_ARTIFACTS", &["was declared before as sha256:2d711642"]),
        fails("a pipe as artifact", "mkfifo p; echo p >> $GITHUB_ARTIFACTS", &["is not a file"]),
        fails("zero byte", "printf 'A=x\\0y\\n' >> $GITHUB_ENV", &["Invalid format 'A'. No variable can hold a zero byte"]),
        fails("zero byte in a path", "printf '/x\\0y\\n' >> $GITHUB_PATH", &["No variable can hold a zero byte"]),
        works("after zero bytes", "echo still $((40 + 2))", &["still 42"], &[]),
        works("deleted", "rm $GITHUB_ENV $GITHUB_OUTPUT $GITHUB_PATH $GITHUB_STATE $GITHUB_STEP_SUMMARY", &[], &["##[error]"]),
        works("guarded names", "printf 'GITHUB_SHA=x\\nRUNNER_OS=x\\nCI=mine\\n' >> $GITHUB_ENV", &[], &["##[error]"]),
        works("are kept", "echo $GITHUB_SHA $RUNNER_OS $CI", &["0123456789012345678901234567890123456789 Linux mine"], &[]),
        works("fresh", "cat $GITHUB_ENV $GITHUB_OUTPUT; echo none $((40 + 2))", &["none 42"], &["CI="]),
        works("several lines", "printf 'D<<X\\none\\n\\ntwo=2\\nX\\nE= spaced \\n' >> $GITHUB_ENV", &[], &[]),
        works("as written", "echo \"[$D][$E]\" | tr '\\n' /", &["[one//two=2][ spaced ]"], &[]),
        works("paths", "mkdir -p p1 p2; echo \"$PWD/p1\" >> $GITHUB_PATH; echo \"$PWD/p2\" >> $GITHUB_PATH", &[], &[]),
        works("later first", "echo \"$PATH\" | grep -c '/p2:.*/p1:'", &["Z 1\n"], &[]),
        works("large summary", "head -c 1048577 /dev/zero | tr '\\0' x >> $GITHUB_STEP_SUMMARY", &["##[error]$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got 1025k."], &[]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_do_what_they_say() {
    let ran = check(&[
        works("old form", "echo 'x ##[error file=a;line=2]old%3Bform'", &["##[error]old;form"], &["x ##"]),
        works("case", "echo '  ::ERROR file=b.rs,endLine=4,col=1::upper'", &["##[error]upper"], &[]),
        works("unknown", "echo '::nothing::x'", &["::nothing::x"], &[]),
        works("not at the start", "echo 'x ::error::y'", &["x ::error::y"], &[]),
        works("from stderr", "echo ::warning::w >&2", &["##[warning]w"], &[]),
        works("absolute file", "echo \"::error file=$PWD/src/c.rs,line=1::inside\"", &["##[error]inside"], &[]),
        works("debug is silent", "echo ::debug::quiet", &[], &["quiet"]),
        works("stopped", "echo ::stop-commands::tok; echo ::error::text; echo ::tok::; echo ::error::again", &["::error::text", "##[error]again"], &[]),
        fails("stop word", "echo ::stop-commands::set-env", &["cannot be a stop token"]),
        works("echo", "echo ::echo::on; echo ::add-mask::shown-not; echo ::echo::off; echo ::group::G", &["::echo::on", "::add-mask::***", "##[group]G"], &["shown-not"]),
        fails("echo what", "echo ::echo::perhaps", &["Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: 'perhaps'."]),
        fails("set-env", "echo ::set-env name=A::b", &["The `set-env` command is disabled."]),
        fails("add-path", "echo ::add-path::/x", &["The `add-path` command is disabled."]),
        works("allowed", "echo ACTIONS_ALLOW_UNSECURE_COMMANDS=true >> $GITHUB_ENV", &[], &[]),
        works("set-env allowed", "echo ::set-env name=OLD::way; echo ::add-path::/old/way", &[], &["##[error]"]),
        works("has set", "echo \"$OLD ${PATH%%:*}\"", &["way /old/way"], &[]),
        fails("node options", "echo ::set-env name=NODE_OPTIONS::x", &["Can't update NODE_OPTIONS environment variable using ::set-env:: command."]),
        fails("nameless", "echo ::set-output::x", &["Required field 'name' is missing in ##[set-output] command."]),
        fails("matcher", "echo ::add-matcher::none.json", &["cannot read the problem matcher"]),
        works("outputs", "echo '::set-output name=x::1%0A2'", &["deprecated"], &[]),
    ])
    .await;
    let place = |message: &str| {
        let found = ran.annotations().into_iter().find(|a| a.message == message).unwrap();
        (found.path, found.line, found.end_line, found.column)
    };
    assert_eq!(place("old;form"), (Some("a".into()), Some(2), None, None));
    assert_eq!(place("upper"), (Some("b.rs".into()), Some(4), Some(4), Some(1)));
    assert_eq!(place("inside"), (Some("src/c.rs".into()), Some(1), None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_form_of_a_secret_shows() {
    const HIDDEN: &[&str] = &[
        "hunter2-correct-horse",
        "aHVudGVyMi1jb3JyZWN0LWhvcnNl",
        "first-line-of-it",
        "second",
        "job-token-0123456789",
    ];
    let one = |name, script, says| Rule { name, script, ends: Success, says, hides: HIDDEN };
    // The scripts do not name the secrets: expressions put them in.
    check(&[
        one("plain", "echo \"it is ${{ secrets.PASSWORD }}.\"", &["it is ***."]),
        one("in pieces", "printf hunter2-; sleep 0.1; printf 'correct-'; sleep 0.1; echo horse", &["Z ***"]),
        one(
            "base64",
            "for lead in '' x xx; do printf '%s%s' \"$lead\" '${{ secrets.PASSWORD }}' | base64; done",
            &["***"],
        ),
        one("several lines", "printf '%s' '${{ secrets.SEVERAL }}'", &["***"]),
        one("json", "echo '${{ toJSON(secrets.SEVERAL) }}'", &["***"]),
        one("token", "echo '${{ github.token }} ${{ secrets.GITHUB_TOKEN }}'", &["*** ***"]),
        one(
            "command",
            "echo '::warning title=${{ secrets.PASSWORD }}::w ${{ secrets.PASSWORD }}'",
            &["##[warning]w ***"],
        ),
        one("summary", "echo 's ${{ secrets.PASSWORD }}' >> $GITHUB_STEP_SUMMARY", &[]),
        works(
            "mask",
            "echo '::add-mask::one-line%0Aand-another'; echo one-line and-another",
            &["*** ***"],
            &["one-line", "and-another"],
        ),
        works(
            "blank mask",
            "echo ::add-mask::; echo still-here",
            &["Can't add secret mask for empty string in ##[add-mask] command.", "still-here"],
            &[],
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_run_scripts_with_their_own_command_lines() {
    let ran = job(r#"
steps:
  - { name: default, continue-on-error: true, run: "false | true; echo default goes on; tr '\\0' ' ' < /proc/$$/cmdline" }
  - { name: bash, shell: bash, continue-on-error: true, run: "false | true; echo bash never" }
  - { name: sh, shell: sh, run: "tr '\\0' ' ' < /proc/$$/cmdline" }
  - { name: own, shell: "bash -u {0} one two", run: 'echo "own $1 $2"' }
  - { name: perl, shell: "perl {0}", run: 'print "perl ", 6 * 7, "\n";' }
  - { name: windows, shell: cmd, continue-on-error: true, run: echo never }
  - { name: input, run: 'if read -r line; then echo "read $line"; else echo nothing to read; fi' }
  - { name: elsewhere, run: pwd, working-directory: sub/folder, continue-on-error: true }
  - { name: lines, run: "echo one\r\necho two\r\n" }
"#)
    .run()
    .await;
    ran.succeeded().says("default goes on").says("own one two").says("nothing to read").says("two");
    let line = |begin: &str| {
        ran.log.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {}", ran.log))
    };
    assert!(line("bash -e /").ends_with(".sh "));
    assert!(line("sh -e /").ends_with(".sh "));
    if !ran.log.contains("perl: ") {
        ran.says("perl 42");
    }
    assert!(!ran.log.lines().any(|line| line == "never" || line == "bash never"), "{}", ran.log);
    assert!(ran.log.contains("the shell `cmd` exists on Windows only"));
    let outcomes: Vec<_> =
        ran.views().into_iter().filter(|view| view.outcome == Some(Failure)).map(|view| view.name).collect();
    assert_eq!(outcomes, ["bash", "windows", "elsewhere"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_kept_for_the_whole_job() {
    let mut body = String::from("steps:\n");
    for n in 0..25 {
        body.push_str(&format!(
            "  - run: for i in $(seq 12); do echo ::error::e{n}; done; echo 'summary {n}' >> $GITHUB_STEP_SUMMARY\n"
        ));
    }
    let ran = job(&body).run().await;
    ran.succeeded();
    assert_eq!(ran.annotations().len(), 50);
    assert_eq!(ran.annotations().iter().filter(|a| a.message == "e0").count(), 10);
    assert_eq!(ran.summary().lines().count(), 20);
    assert!(ran.log.contains("A job shows the summaries of 20 steps"), "{}", ran.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn matchers_find_problems_in_what_steps_write() {
    let ran = job(r#"
steps:
  - run: |
      mkdir -p src .github && touch src/a.c
      cat > .github/cc.json <<'END'
      {"problemMatcher": [{"owner": "cc", "pattern": [{"regexp": "^(.+):(\\d+): (warning|error): (.+)$", "file": 1, "line": 2, "severity": 3, "message": 4}]}]}
      END
      echo ::add-matcher::.github/cc.json
      echo 'src/a.c:3: warning: unused hunter2-correct-horse'
  - run: |
      echo "$PWD/src/a.c:4: error: in the next step"
      echo 'gone.c:5: error: of no file'
      echo ::remove-matcher owner=cc::
      echo 'src/a.c:6: error: not any more'
"#)
    .run()
    .await;
    ran.succeeded().says("##[warning]src/a.c:3: warning: unused ***").says("src/a.c:6: error: not any more");
    let found: Vec<_> = ran.annotations().into_iter().map(|a| (a.level, a.path, a.line, a.message)).collect();
    let src = Some("src/a.c".to_owned());
    assert_eq!(
        found,
        [
            ("warning".to_owned(), src.clone(), Some(3), "unused ***".to_owned()),
            ("error".to_owned(), src, Some(4), "in the next step".to_owned()),
            ("error".to_owned(), None, Some(5), "of no file".to_owned()),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_scripts_run_around_the_job() {
    let mut fixture = job("steps:\n  - run: echo \"step $FROM_HOOK\"; exit 3\n");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    };
    fixture.settings.hooks.started =
        script("started.sh", "echo FROM_HOOK=set >> $GITHUB_ENV; echo started $((40 + 2))\n");
    fixture.settings.hooks.completed = script("completed.sh", "echo completed $((40 + 2)) $GITHUB_JOB\n");
    let ran = fixture.run().await;
    ran.says("started 42").says("step set").says("completed 42 j");
    let names: Vec<_> = ran.steps();
    assert_eq!(names[1], ("Set up runner".to_owned(), Success));
    assert_eq!(names[3], ("Complete runner".to_owned(), Success));

    let mut fixture = job("steps:\n  - run: echo never\n");
    fixture.settings.hooks.started = script("bad.sh", "exit 7\n");
    let ran = fixture.run().await;
    assert_eq!(ran.conclusion, Some(Failure));
    assert!(
        ran.reason.clone().unwrap().contains("`Set up runner` failed: Process completed with exit code 7.")
    );
    assert!(!ran.log.lines().any(|line| line == "never"));
    let mut fixture = job("steps:\n  - run: echo never\n");
    fixture.settings.hooks.started = script("hook.txt", "");
    assert!(fixture.run().await.reason.unwrap().contains("uses the .sh or .ps1 extension"));
}
