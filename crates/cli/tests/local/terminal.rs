//! A run at a terminal: the tree of jobs, and the shell where a step failed.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use crate::fixture::{Repo, job, on_push};

/// Types at a terminal when it says something; gives all that was said.
fn at_terminal(repo: &Repo, args: &[&str], typed: &[(&str, &str)]) -> (Option<i32>, String) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let ends = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut command = repo.command(args);
    command.stdin(ends()).stdout(ends()).stderr(ends()).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut child = command.spawn().unwrap();
    drop(command);
    drop(pty.slave);
    let mut terminal = File::from(pty.master);
    let (mut said, mut typed) = (String::new(), typed.iter());
    let mut next = typed.next();
    let mut buffer = [0; 4096];
    // The end of a terminal is an error to read from.
    while let Ok(n @ 1..) = terminal.read(&mut buffer) {
        said.push_str(&String::from_utf8_lossy(&buffer[..n]));
        if let Some((wanted, answer)) = next
            && said.contains(wanted)
        {
            // Whoever asks sets the terminal up before it reads.
            std::thread::sleep(Duration::from_millis(100));
            terminal.write_all(answer.as_bytes()).unwrap();
            next = typed.next();
        }
    }
    (child.wait().unwrap().code(), said)
}

#[test]
fn the_tree_of_jobs_stands_below_the_lines() {
    let repo = Repo::with(&on_push(&(job("a", "", "echo one") + &job("b", "needs: a", "echo two"))));
    let (code, said) = at_terminal(&repo, &["-P", "ubuntu-latest=host"], &[]);
    assert_eq!(code, Some(0), "{said}");
    let last = said.rfind("└─ ✓ a").unwrap_or_else(|| panic!("no tree in {said}"));
    assert!(said[last..].contains("└─ ✓ b") && said.contains("a │ one"), "{said}");
}

#[test]
fn a_shell_opens_where_a_step_failed_and_the_run_goes_on_from_there() {
    let repo = Repo::with(&on_push(&job("a", "", "test -e mended && echo now it passes")));
    let args = ["-P", "ubuntu-latest=host", "--debug-on-failure"];
    let (code, said) = at_terminal(&repo, &args, &[("leave it", "touch mended; exit\n"), ("[s]top", "a\n")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("now it passes"), "{said}");
    let (code, said) = at_terminal(&repo, &args, &[("leave it", "exit\n"), ("[s]top", "s\n")]);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = at_terminal(&repo, &args, &[("leave it", "exit\n"), ("[s]top", "g\n")]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_shell_that_could_not_open_is_refused_before_anything_runs() {
    let repo = Repo::with(&on_push(&job("a", "", "echo it ran")));
    let plain = ["-P", "ubuntu-latest=host", "--debug-on-failure"];
    repo.run(&plain).ended(2).says_not("it ran").complains("no terminal");
    let (code, said) = at_terminal(&repo, &["-P", "ubuntu-latest=docker:x", "--debug-on-failure"], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("=sandbox") && !said.contains("it ran"), "{said}");
}

#[test]
fn a_shell_opens_in_the_sandbox_of_a_step_and_interrupts_reach_what_runs_there() {
    let trial = Repo::with(&on_push(&job("a", "", "true"))).run(&["-P", "ubuntu-latest=sandbox"]);
    if trial.err.contains("no sandbox") || trial.code != Some(0) {
        return windlass_testkit::skip("a shell in a step's sandbox", "this machine permits no sandbox");
    }
    let script =
        "echo here > /opt/only-in-the-sandbox; export NOT_KEPT=1\ntest -e mended && echo now it passes";
    let repo = Repo::with(&on_push(&job("a", "env: {OWN: of-the-step}", script)));
    let args = ["-P", "ubuntu-latest=sandbox", "--debug-on-failure"];
    let typed = [
        ("leave it", "cat /opt/only-in-the-sandbox; test -t 0 && echo $OWN-at-a-ter\"\"minal\n"),
        ("of-the-step-at-a-terminal", "sleep 100 || echo inter\"\"rupted\n"),
        ("sleep 100", "\u{3}"),
        ("^C", "echo st''ill here; touch mended; exit 3\n"),
        ("[s]top", "a\n"),
    ];
    let (code, said) = at_terminal(&repo, &args, &typed);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("still here") && said.contains("now it passes"), "{said}");
    assert!(!std::path::Path::new("/opt/only-in-the-sandbox").exists());
}

#[test]
fn a_secret_is_asked_for_without_echo() {
    let repo = Repo::with(&on_push(&job("a", "", "test '${{ secrets.KEY }}' = sesame && echo it fits")));
    let (code, said) =
        at_terminal(&repo, &["-P", "ubuntu-latest=host", "-s", "KEY"], &[("secret KEY:", "sesame\n")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("it fits") && !said.contains("sesame"), "{said}");
}
