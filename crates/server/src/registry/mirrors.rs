//! Mirrored registries: kept as documents, the passwords sealed, and put in force at each start and at each change.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{Actor, Batch, Document, NewEvent, Query, StoreExt as _, Timestamp};
use windlass_oci::{ImageName, MIRROR, Mirror};
use windlass_secrets::{Sealing, SecretRecord};

use super::rules::plain_name;
use crate::context::{Context, may, stored};

type Answer<T> = Result<T, Problem>;

/// How long a tag is taken for what it was, unless something else is said.
const FRESH: u64 = 600;
/// The longest that can be said.
const LONGEST_FRESH: u64 = 30 * 24 * 3600;

/// A registry that is mirrored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct MirrorDoc {
    name: String,
    host: String,
    user: Option<String>,
    /// The password, sealed like a secret of the place where mirrors are: no project has that name, so no job reads it.
    password: Option<SecretRecord>,
    version: u64,
    fresh_seconds: u64,
    set_at: Timestamp,
    set_by: Actor,
}

impl Document for MirrorDoc {
    const KIND: &'static str = "registry_mirror";
    fn id(&self) -> String {
        self.name.clone()
    }
}

impl Context {
    pub(crate) async fn mirrors(&self, who: &Principal) -> Answer<Vec<api::MirrorView>> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        let mirrors = self.store.list::<MirrorDoc>(&Query::default()).await.map_err(stored)?;
        Ok(mirrors.iter().map(|m| self.mirror_view(&m.value)).collect())
    }

    pub(crate) async fn set_mirror(
        &self,
        who: &Principal,
        name: &str,
        how: api::SetMirror,
    ) -> Answer<api::MirrorView> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        plain_name(name, "a mirror")?;
        let host = host_of(&how.url)?;
        let fresh_seconds = how.fresh_seconds.unwrap_or(FRESH);
        if fresh_seconds > LONGEST_FRESH {
            return Err(Problem::invalid("a tag is looked up at least every 30 days"));
        }
        let standing = self.store.get::<MirrorDoc>(name).await.map_err(stored)?;
        let version = standing.as_ref().map_or(1, |s| s.value.version + 1);
        let (set_at, set_by) = (self.now(), who.actor.clone());
        let password = match (&how.user, &how.password) {
            (Some(_), Some(password)) => {
                let place = |_| Problem::invalid(format!("`{name}` is not the name of a mirror"));
                // The names of mirrors have no underscore: no two become one.
                let secret = format!("MIRROR_{}", name.replace('-', "_").to_ascii_uppercase());
                let sealing = Sealing {
                    project: MIRROR.parse().map_err(place)?,
                    environment: None,
                    name: secret.parse().map_err(|_| Problem::invalid("this name cannot have a password"))?,
                    version,
                    at: set_at,
                    by: set_by.clone(),
                };
                Some(self.vault.seal(sealing, password).map_err(|e| Problem::invalid(e.to_string()))?)
            }
            (None, None) => None,
            _ => return Err(Problem::invalid("a name and a password belong together")),
        };
        let mirror = MirrorDoc {
            name: name.to_owned(),
            host,
            user: how.user,
            password,
            version,
            fresh_seconds,
            set_at,
            set_by: set_by.clone(),
        };
        let data = json!({ "host": mirror.host, "user": mirror.user });
        let event = NewEvent::new(set_at, set_by, "registry.mirror_set", name).data(data);
        let batch = Batch::new().update(&mirror, standing.map_or(0, |s| s.version)).event(event);
        self.commit(batch).await.map_err(stored)?;
        self.apply_mirrors().await?;
        Ok(self.mirror_view(&mirror))
    }

    pub(crate) async fn remove_mirror(&self, who: &Principal, name: &str) -> Answer<()> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        if self.store.get::<MirrorDoc>(name).await.map_err(stored)?.is_none() {
            return Err(Problem::not_found(format!("there is no mirror {name}")));
        }
        let event = NewEvent::new(self.now(), who.actor.clone(), "registry.mirror_removed", name);
        self.commit(Batch::new().delete::<MirrorDoc>(name).event(event)).await.map_err(stored)?;
        self.apply_mirrors().await
    }

    /// Puts the mirrors in force that are kept. One whose password cannot be opened is left out, and said.
    pub(crate) async fn apply_mirrors(&self) -> Answer<()> {
        let mut mirrors = Vec::new();
        for kept in self.store.list::<MirrorDoc>(&Query::default()).await.map_err(stored)? {
            let MirrorDoc { name, host, user, password, fresh_seconds, .. } = kept.value;
            let login = match (user, password) {
                (Some(user), Some(record)) => match self.vault.open(&record) {
                    Ok(password) => Some((user, password)),
                    Err(error) => {
                        tracing::error!(mirror = name, %error, "a mirror is out of force: set it again");
                        continue;
                    }
                },
                _ => None,
            };
            mirrors.push(Mirror { name, host, login, fresh: Duration::from_secs(fresh_seconds) });
        }
        self.images.registry.set_mirrors(mirrors);
        Ok(())
    }

    fn mirror_view(&self, mirror: &MirrorDoc) -> api::MirrorView {
        let here = self.endpoint.url.trim_start_matches("http://");
        let scheme = if plain(&mirror.host) { "http" } else { "https" };
        api::MirrorView {
            name: mirror.name.clone(),
            url: format!("{scheme}://{}", mirror.host),
            user: mirror.user.clone(),
            fresh_seconds: mirror.fresh_seconds,
            prefix: format!("{here}/{MIRROR}/{}", mirror.name),
            set_at: mirror.set_at,
            set_by: mirror.set_by.to_string(),
        }
    }
}

/// Whether a host is this machine, with which plain HTTP is spoken.
fn plain(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The host of a registry's address.
fn host_of(url: &str) -> Answer<String> {
    let refuse = |why: &str| Err(Problem::invalid(format!("`{url}` is not a registry's address: {why}")));
    let (secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return refuse("write it as https://HOST[:PORT]"),
    };
    let host = rest.trim_end_matches('/');
    // What an image's name takes for a host is one.
    let read = format!("{host}/x").parse::<ImageName>();
    if !read.is_ok_and(|name| name.host.as_deref() == Some(host)) {
        return refuse("a host with a dot or a port is wanted, and no path");
    }
    if !secure && !plain(host) {
        return refuse("plain HTTP is spoken only with this machine itself");
    }
    if secure && plain(host) {
        return refuse("with this machine plain HTTP is spoken: write http://");
    }
    Ok(host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_and_only_this_machine_goes_without_tls() {
        for (url, host) in [
            ("https://registry.example", Some("registry.example")),
            ("https://registry.example:5000/", Some("registry.example:5000")),
            ("https://docker.io", Some("docker.io")),
            ("http://127.0.0.1:5000", Some("127.0.0.1:5000")),
            ("http://localhost:5000", Some("localhost:5000")),
            ("http://registry.example", None),
            ("https://registry.example/v2", None),
            ("https://user@registry.example", None),
            ("https://127.0.0.1:5000", None),
            ("registry.example", None),
            ("https://", None),
            ("ftp://registry.example", None),
        ] {
            assert_eq!(host_of(url).ok().as_deref(), host, "{url}");
        }
    }
}
