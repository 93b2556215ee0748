//! Logins to registries: those that `docker login` and its kin keep in `config.json`, and that of this machine's Windlass.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use windlass_build::Login;
use windlass_kernel::Secret;

use crate::connection::Global;

/// All that this user has. Who owns the Windlass of this machine needs no login to its registry.
pub(super) fn logins(global: &Global) -> Vec<Login> {
    let mut logins = kept();
    if let Some((host, password)) = global.own_registry()
        && !logins.iter().any(|login| login.host == host)
    {
        logins.push(Login { host, user: "admin".into(), password });
    }
    logins
}

/// The logins that are kept in the file itself; helpers are not asked.
fn kept() -> Vec<Login> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker")));
    let text = folder.and_then(|folder| std::fs::read(folder.join("config.json")).ok());
    let config: Option<Value> = text.and_then(|text| serde_json::from_slice(&text).ok());
    config.map(|config| read(&config)).unwrap_or_default()
}

fn read(config: &Value) -> Vec<Login> {
    let Some(auths) = config.get("auths").and_then(Value::as_object) else { return Vec::new() };
    let one = |(host, entry): (&String, &Value)| {
        let pair = STANDARD.decode(entry.get("auth")?.as_str()?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (user, password) = pair.split_once(':')?;
        let host = host.trim_start_matches("https://").trim_start_matches("http://");
        let host = match host.split('/').next().unwrap_or(host) {
            "index.docker.io" => "docker.io",
            other => other,
        };
        let password = Secret::new(password.to_owned());
        Some(Login { host: host.to_owned(), user: user.to_owned(), password })
    };
    auths.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_images_name() {
        let config = serde_json::json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": STANDARD.encode("me:pass:word") },
            "127.0.0.1:5000": { "auth": STANDARD.encode("a:b") },
            "elsewhere": {},
        }});
        let found: Vec<_> =
            read(&config).into_iter().map(|l| (l.host, l.user, l.password.expose().clone())).collect();
        let of = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert!(found.contains(&of("docker.io", "me", "pass:word")));
        assert!(found.contains(&of("127.0.0.1:5000", "a", "b")));
        assert_eq!(found.len(), 2);
    }
}
