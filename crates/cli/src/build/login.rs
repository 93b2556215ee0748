//! Logins to registries: those that `docker login`, `podman login` and their kin keep, in files or with helper programs, and
//! that of this machine's Windlass.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use windlass_build::{Keyring, Login};
use windlass_kernel::Secret;

/// How long a helper may take: it may ask its person.
const PATIENCE: Duration = Duration::from_mins(2);
/// What Docker Hub is called where logins are kept.
const HUB: &str = "https://index.docker.io/v1/";

/// The logins of this user, looked up when a registry asks for one.
#[derive(Debug)]
pub(super) struct Kept {
    /// The files, those that go first in front.
    files: Vec<Value>,
    /// Who owns the Windlass of this machine needs no login to its registry.
    own: Option<(String, Secret<String>)>,
}

impl Kept {
    /// Those that this user has.
    pub(super) fn new(own: Option<(String, Secret<String>)>) -> Self {
        let read = |path: PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
        Self { files: places().into_iter().filter_map(read).collect(), own }
    }

    async fn find(&self, host: &str, repository: &str) -> Result<Option<Login>, String> {
        for file in &self.files {
            if let Some(helper) = helper(file, host) {
                match ask(&helper, server(host)).await? {
                    Some((user, password)) => return Ok(Some(login(host, user, password))),
                    None => continue,
                }
            }
            if let Some(found) = kept(file, host, repository) {
                return found.map(Some);
            }
        }
        let own = self.own.as_ref().filter(|(name, _)| name == host);
        Ok(own.map(|(_, password)| login(host, "admin".into(), password.clone())))
    }
}

#[async_trait::async_trait]
impl Keyring for Kept {
    async fn login(&self, host: &str, repository: &str) -> Result<Option<Login>, String> {
        self.find(host, repository).await
    }
}

fn login(host: &str, user: String, password: Secret<String>) -> Login {
    Login { host: host.to_owned(), user, password }
}

/// Where logins are kept: `REGISTRY_AUTH_FILE` goes first, since somebody said so; then Docker's, then podman's
/// (containers-auth.json(5)).
fn places() -> Vec<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME");
    let docker = set("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let config = set("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let podman = |folder: PathBuf| folder.join("containers/auth.json");
    let all = [
        set("REGISTRY_AUTH_FILE"),
        docker.map(|folder| folder.join("config.json")),
        set("XDG_RUNTIME_DIR").map(podman),
        config.map(podman),
    ];
    all.into_iter().flatten().collect()
}

/// What a registry is called where logins are kept.
fn server(host: &str) -> &str {
    if is_hub(host) { HUB } else { host }
}

fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// The helper that a file names for a registry.
fn helper(file: &Value, host: &str) -> Option<String> {
    let own = [server(host), host].into_iter().find_map(|name| file.get("credHelpers")?.get(name)?.as_str());
    let name = own.or_else(|| file.get("credsStore")?.as_str())?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Asks a helper: `docker-credential-NAME get`, the server on standard input (its protocol is Docker's).
async fn ask(name: &str, server: &str) -> Result<Option<(String, Secret<String>)>, String> {
    let program = format!("docker-credential-{name}");
    if Path::new(&program).components().count() != 1 {
        return Err(format!("`{name}` is no name of a credential helper"));
    }
    let mut command = tokio::process::Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| {
        format!("the program `{program}`, which the file with the logins names, could not be started: {e}")
    })?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read says by itself what is wrong.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let out = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let out = out.map_err(|_| format!("`{program}` did not answer within {} s", PATIENCE.as_secs()))?;
    let out = out.map_err(|e| format!("`{program}`: {e}"))?;
    if !out.status.success() {
        // Helpers say on standard output what is wrong, and keep no secret there then.
        let said = String::from_utf8_lossy(if out.stdout.is_empty() { &out.stderr } else { &out.stdout });
        let said = said.trim().chars().take(300).collect::<String>();
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("`{program} get` failed: {said}"));
    }
    let answer: Value =
        serde_json::from_slice(&out.stdout).map_err(|_| format!("`{program}` answered no JSON"))?;
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (user, secret) = (text("Username"), text("Secret"));
    if user == "<token>" {
        return Err(format!(
            "`{program}` has an identity token for it, which is not spoken here: log in with a password or an access token"
        ));
    }
    Ok((!secret.is_empty()).then(|| (user, Secret::new(secret))))
}

/// What a file itself says: the entry whose name is the longest beginning of `HOST/REPOSITORY`, as podman has it.
fn kept(file: &Value, host: &str, repository: &str) -> Option<Result<Login, String>> {
    let whole = format!("{host}/{repository}");
    let fits = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let name = name.strip_suffix("/v1").or_else(|| name.strip_suffix("/v2")).unwrap_or(name);
        let named = name.split('/').next().unwrap_or(name);
        if is_hub(named) && is_hub(host) {
            return Some(name.len());
        }
        (whole == name || whole.strip_prefix(name)?.starts_with('/')).then_some(name.len())
    };
    let auths = file.get("auths")?.as_object()?;
    let entries = auths.iter().filter_map(|(name, entry)| Some((fits(name)?, entry)));
    let said =
        entries.filter(|(_, entry)| ["auth", "identitytoken"].iter().any(|field| entry.get(field).is_some()));
    let (_, entry) = said.max_by_key(|(length, _)| *length)?;
    let text = |field: &str| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    let Some(auth) = text("auth") else {
        return Some(Err("an identity token is kept for it, which is not spoken here".to_owned()));
    };
    let pair = STANDARD.decode(auth).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    Some(match pair {
        Some((user, password)) => Ok(login(host, user.to_owned(), Secret::new(password.to_owned()))),
        None => Err("what is kept for it cannot be read: log in once more".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_name_that_fits_is_taken_and_the_hub_has_many() {
        let auth = |pair: &str| serde_json::json!({ "auth": STANDARD.encode(pair) });
        let files = vec![
            serde_json::json!({ "auths": {
                "https://index.docker.io/v1/": auth("me:pass:word"),
                "127.0.0.1:5000": auth("a:b"),
                "127.0.0.1:5000/team/app": auth("c:d"),
                "elsewhere.example": {},
                "token.example": { "identitytoken": "x" },
            }}),
            serde_json::json!({ "auths": { "elsewhere.example": auth("second:file") } }),
        ];
        let kept = Kept { files, own: Some(("127.0.0.1:7700".into(), Secret::new("own".into()))) };
        for (host, repository, expected) in [
            ("docker.io", "library/x", Some("me pass:word")),
            ("127.0.0.1:5000", "team/apples", Some("a b")),
            ("127.0.0.1:5000", "team/app/x", Some("c d")),
            ("elsewhere.example", "x", Some("second file")),
            ("127.0.0.1:7700", "x", Some("admin own")),
            ("127.0.0.1:50", "00/x", None),
        ] {
            let found = kept.find(host, repository).await.unwrap();
            let found = found.map(|login| format!("{} {}", login.user, login.password.expose()));
            assert_eq!(found.as_deref(), expected, "{host}/{repository}");
        }
        assert!(kept.find("token.example", "x").await.unwrap_err().contains("identity token"));
        let strange = Kept { files: vec![serde_json::json!({ "credsStore": "../x" })], own: None };
        assert!(strange.find("h.example", "x").await.unwrap_err().contains("no name of a credential helper"));
    }
}
