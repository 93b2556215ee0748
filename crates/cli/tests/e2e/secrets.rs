//! Secrets: in by standard input, out only to jobs of their environment once its rules have passed.

use std::path::Path;

use serde_json::json;
use windlass_api::{Conclusion, SettingView};

use crate::platform::{Platform, Repository, job};

const VALUE: &str = "tr0ub4dor-and-3-of-production";
const SHARED: &str = "the-whole-projects-own-secret";

const WORKFLOW: &str = r#"
name: secrets
on: push
jobs:
  before:
    runs-on: ubuntu-latest
    outputs:
      seen: ${{ secrets.DEPLOY_KEY != '' }}
    steps:
      - env: { KEY: "${{ secrets.DEPLOY_KEY }}", SHARED: "${{ secrets.SHARED_KEY }}" }
        run: |
          echo "before: length ${#KEY}, shared ${#SHARED}"
          echo "shared is $SHARED"
  after:
    needs: before
    runs-on: ubuntu-latest
    environment: production
    steps:
      - env: { KEY: "${{ secrets.DEPLOY_KEY }}" }
        run: |
          echo "after: length ${#KEY}"
          echo "the key is $KEY"
          printf '%s' "$KEY" | base64
          printf '%s\n' "$KEY" | sed 's/./&\n/g' | head -3
          echo "ready"
          sleep 3
"#;

const MANIFEST: &str =
    "services: { app: { port: 8080 } }\nenvironments:\n  production:\n    reviewers: [anyone]\n";

#[test]
fn a_secret_reaches_the_job_of_its_environment_after_its_approval_and_nothing_else() {
    let Some(platform) = Platform::start("secrets: environment") else { return };
    let set = |name: &str, value: &str, more: &[&str]| {
        let arguments = [&["secret", "set", name, "--project", "vault"], more].concat();
        let output = platform.run_with_input(&arguments, &format!("{value}\n"));
        assert!(output.status.success(), "{}", crate::platform::told(&output));
        assert!(!String::from_utf8_lossy(&output.stdout).contains(value));
    };
    platform.ok(&["project", "create", "vault"]);
    set("DEPLOY_KEY", VALUE, &["--environment", "production"]);
    set("SHARED_KEY", SHARED, &[]);
    let listed: Vec<SettingView> = platform.get("/api/v1/projects/vault/secrets");
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|s| s.value.is_none()), "{listed:?}");

    let repository = Repository::new(&platform, "vault");
    repository.write(".github/workflows/secrets.yml", WORKFLOW).write("windlass.yml", MANIFEST);
    let sha = repository.ship(&platform, "Use secrets");
    let id = platform.run_of("vault", &sha).summary.id;
    let approval = platform.approval(&id);
    let run = platform.run_now(&id).unwrap();
    assert_eq!(job(&run, "before").outputs["seen"], "false", "a job outside of production saw its secret");
    let log = platform.log(&run, "before");
    assert!(log.contains(&format!("before: length 0, shared {}", SHARED.len())), "{log}");
    assert!(log.contains("shared is ***") && !log.contains(SHARED), "{log}");

    let dana = platform.account("dana", "member");
    let path = format!("/api/v1/approvals/{}", approval.id);
    let _: serde_json::Value = platform.post_as(&dana, &path, &json!({"approve": true})).unwrap();
    platform.says(&id, "after", "ready");
    // While the job runs: no argument of any process holds it.
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let shown = String::from_utf8_lossy(&arguments);
        assert!(!holds(&arguments, VALUE), "an argument of a process holds the secret: {shown}");
    }
    let run = platform.concludes("vault", &sha, Conclusion::Success);
    let log = platform.log(&run, "after");
    assert!(log.contains(&format!("after: length {}", VALUE.len())), "{log}");
    assert!(log.contains("the key is ***") && !log.contains(VALUE), "{log}");

    let found = holders(&platform.data, &[VALUE, SHARED]);
    assert!(found.is_empty(), "the data directory holds a secret in plain text: {found:?}");
    let ledger = platform.assert_ledger_whole();
    assert!(ledger.iter().any(|e| e.kind == "secret.set" && e.subject == "DEPLOY_KEY"));
}

/// Whether some bytes hold a text.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

/// The files below a folder that hold one of these texts.
fn holders(folder: &Path, texts: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holders(&path, texts));
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
            && texts.iter().any(|text| holds(&bytes, text))
        {
            found.push(path.display().to_string());
        }
    }
    found
}
