//! What the fake platform holds beside deliveries: a repository, settings, the ledger, accounts.

use serde_json::json;
use windlass_api::*;
use windlass_kernel::Digest;

use super::data::{ACTIVE, Data, EVIL, RUN};

impl Data {
    pub(crate) fn refs(&self) -> Vec<RefView> {
        let one = |name: &str, n: u32, tag: bool| RefView {
            name: name.into(),
            sha: Self::sha(n),
            tag,
            subject: self.t("Search tasks by words in the title"),
            committed_at: self.ago(i64::from(n) * 4000),
        };
        vec![
            one("main", 1, false),
            one(&self.branch(), 2, false),
            one("fix/order", 3, false),
            one("v1.2.0", 3, true),
        ]
    }

    /// A change from outside that waits, one of the project's own that conflicts, one that is over.
    pub(crate) fn changes(&self) -> Vec<ChangeView> {
        let one = |number: u64, outside: bool, state: &str| ChangeView {
            project: "tasks".into(),
            number,
            title: self.t("Search tasks by words in the title"),
            author: self.t("eve"),
            base: "main".into(),
            head_name: self.t("eve/search"),
            head: Self::sha(2),
            merge: outside.then(|| Self::sha(3)),
            conflicts: if outside { Vec::new() } else { vec![self.t("src/main.rs")] },
            outside,
            state: state.into(),
            approved: false,
            opened_at: self.ago(4000),
            updated_at: self.ago(400),
        };
        vec![one(9, true, "open"), one(8, false, "open"), one(7, true, "merged")]
    }

    pub(crate) fn approvals(&self) -> Vec<ApprovalView> {
        let change = ProposedChange {
            number: 9,
            author: self.t("eve"),
            title: self.t("Search tasks by words in the title"),
            head: Self::sha(2),
            reason: self.t("waiting for approval: first change of eve"),
        };
        let whole = ApprovalView {
            id: RUN.into(),
            environment: String::new(),
            change: Some(change),
            ..self.approval("production", "pending")
        };
        let of = |environment, state| self.approval(environment, state);
        vec![of("production", "pending"), of("validation", "pending"), whole, of("staging", "approved")]
    }

    pub(crate) fn commits(&self) -> Vec<CommitView> {
        (1..6).map(|n| self.commit_view(n)).collect()
    }

    fn commit_view(&self, n: u32) -> CommitView {
        let subjects = [
            "Search tasks by words in the title",
            "Answer 400 with the field that was wrong",
            "Keep the order of tasks",
            "Metrics by route, not by path",
            "First version",
        ];
        CommitView {
            sha: Self::sha(n),
            parents: if n < 5 { vec![Self::sha(n + 1)] } else { Vec::new() },
            author: self.t("Ana Lopes"),
            email: self.t("ana@example.org"),
            committed_at: self.ago(i64::from(n) * 4000),
            subject: self.t(subjects[(n as usize - 1) % 5]),
            body: self.t("\nThe words are looked for in any order.\n\nCloses #12\n"),
        }
    }

    pub(crate) fn commit(&self) -> CommitDetail {
        CommitDetail { commit: self.commit_view(1), files: self.files(), truncated: true }
    }

    pub(crate) fn files(&self) -> Vec<FileDiff> {
        let line = |sign, old, new, text: &str| DiffLine { sign, old, new, text: self.t(text) };
        let hunk = DiffHunk {
            header: self.t("@@ -1,3 +1,4 @@ fn main()"),
            lines: vec![
                line(' ', Some(1), Some(1), "fn main() {"),
                line('-', Some(2), None, "    println!(\"tasks\");"),
                line('+', None, Some(2), "    let words = query.split_whitespace();"),
                line('+', None, Some(3), "    println!(\"tasks: {words:?}\");"),
                line(' ', Some(3), Some(4), "}"),
            ],
        };
        let one = |path: &str, status: &str, hunks: Vec<DiffHunk>, binary| FileDiff {
            path: path.into(),
            old_path: (status == "renamed").then(|| self.t("docs/old.md")),
            status: status.into(),
            binary,
            added: 2,
            removed: 1,
            hunks,
        };
        vec![
            one("src/main.rs", "modified", vec![hunk], false),
            one("docs/new.md", "renamed", Vec::new(), false),
            one(&self.t("logo.png"), "added", Vec::new(), true),
        ]
    }

    pub(crate) fn file(&self, reference: &str, path: &str) -> Option<FileView> {
        let entry = |name: &str, kind: &str, size: Option<u64>| TreeEntry {
            name: name.into(),
            path: if path.is_empty() { name.into() } else { format!("{path}/{name}") },
            kind: kind.into(),
            size,
        };
        let odd = self.t("odd & named?#file");
        let odd = odd.replace('/', "∕");
        let mut view = FileView {
            reference: reference.into(),
            sha: Self::sha(1),
            path: path.into(),
            entries: None,
            text: None,
            size: Some(120),
        };
        match path {
            "" => {
                view.entries = Some(vec![
                    entry(".github", "folder", None),
                    entry("docs", "folder", None),
                    entry("src", "folder", None),
                    entry("README.md", "file", Some(842)),
                    entry(&odd, "file", Some(12)),
                    entry("logo.png", "file", Some(40_213)),
                    entry("windlass.yml", "file", Some(733)),
                    entry("vendor", "submodule", None),
                ]);
            }
            ".github" => view.entries = Some(vec![entry("workflows", "folder", None)]),
            ".github/workflows" => view.entries = Some(vec![entry("ci.yml", "file", Some(900))]),
            "src" => view.entries = Some(vec![entry("main.rs", "file", Some(96))]),
            "docs" => view.entries = Some(vec![entry("new.md", "file", Some(96))]),
            "README.md" => {
                view.text = Some(format!(
                    "# tasks\n\nA task manager API: **axum**, SQLite.\n\n```sh\ncurl -s localhost:8080/tasks\n```\n\n- [x] list\n- [ ] search\n{}",
                    if self.evil { EVIL } else { "" }
                ));
            }
            ".github/workflows/ci.yml" | "src/main.rs" | "docs/new.md" | "windlass.yml" => {
                let text = "fn main() {\n    let words = query.split_whitespace();\n\tprintln!(\"tasks: {words:?}\");\n    // A line that is rather long, so that one sees how a long line behaves on a page that is narrow: it scrolls.\n}\n";
                view.text = Some(format!("{text}{}\n", self.t("// end")));
            }
            "logo.png" => {}
            path if path.starts_with("logo.png") || path == odd => view.text = Some(self.t("odd")),
            _ => return None,
        }
        Some(view)
    }

    pub(crate) fn workflows(&self) -> Vec<WorkflowView> {
        let diagnostic = |severity: &str| DiagnosticView {
            severity: severity.into(),
            file: ".github/workflows/ci.yml".into(),
            line: 2,
            column: 5,
            message: self.t("`ubuntu-18.04` is served by this machine's own toolchain"),
        };
        let one = |name: &str, dispatchable, diagnostics| WorkflowView {
            file: ".github/workflows/ci.yml".into(),
            name: self.t(name),
            dispatchable,
            inputs: if dispatchable { self.inputs() } else { Vec::new() },
            diagnostics,
        };
        vec![one("ci", true, vec![diagnostic("warning")]), one("nightly", false, Vec::new())]
    }

    fn inputs(&self) -> Vec<DispatchInput> {
        let one = |name: &str, kind: &str, default: Option<&str>, options: &[&str]| DispatchInput {
            name: name.into(),
            kind: kind.into(),
            description: Some(self.t(&format!("What {name} is for"))),
            required: name == "version",
            default: default.map(|d| self.t(d)),
            options: options.iter().map(|o| self.t(o)).collect(),
        };
        vec![
            one("version", "string", Some("1.0"), &[]),
            one("dry", "boolean", None, &[]),
            one("count", "number", Some("3"), &[]),
            one("level", "choice", Some("info"), &["debug", "info"]),
            one("where", "environment", None, &["staging", "production"]),
        ]
    }

    pub(crate) fn settings(&self, secret: bool) -> Vec<SettingView> {
        let one = |name: &str, environment: Option<&str>, value: &str| SettingView {
            name: name.into(),
            environment: environment.map(str::to_owned),
            value: (!secret).then(|| self.t(value)),
            version: 3,
            updated_at: self.ago(86_400 * 2),
            updated_by: "user:ana".into(),
        };
        if secret {
            vec![one("DATABASE_URL", Some("production"), ""), one("SIGNING_KEY", None, "")]
        } else {
            vec![one("LOG_LEVEL", None, "info"), one("GREETING", Some("staging"), "hello from staging")]
        }
    }

    pub(crate) fn events(&self) -> Vec<EventView> {
        let kinds = [
            ("ref.updated", "tasks", "user:ana"),
            ("run.started", RUN, "system"),
            ("job.finished", "job_01kag0000000000000000000a12", "runner:this-machine"),
            ("deployment.started", ACTIVE, "run:run_01kag0000000000000000000a2"),
            ("approval.requested", "run_01kag0000000000000000000a1:production", "system"),
            ("secret.set", "DATABASE_URL", "user:ana"),
        ];
        (0..130u64)
            .rev()
            .map(|i| {
                let (kind, subject, actor) = kinds[i as usize % kinds.len()];
                EventView {
                    seq: i + 1,
                    at: self.ago(40 * (130 - i as i64)),
                    actor: self.t(actor),
                    kind: kind.into(),
                    project: Some("tasks".into()),
                    subject: if i % 6 == 5 { self.t(subject) } else { subject.into() },
                    data: json!({ "ref": "refs/heads/main", "text": self.t("what happened"), "n": i }),
                    hash: Digest::sha256(&i.to_be_bytes()).hex().into(),
                }
            })
            .collect()
    }
}
