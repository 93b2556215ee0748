//! The documents: sealed secrets and plain variables.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use windlass_kernel::{Actor, Document, EnvironmentName, ProjectName, Timestamp};

use crate::SettingName;

/// A sealed secret. Everything but the value can be read; the value only by the vault that holds the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Whose it is.
    pub project: ProjectName,
    /// Its name.
    pub name: SettingName,
    /// The environment that it belongs to; none: the whole project.
    pub environment: Option<EnvironmentName>,
    /// Its version, from 1: part of what is authenticated, so that an old value cannot be put in a new one's place.
    pub version: u64,
    /// Which key-encryption key wrapped the data key.
    pub key_id: String,
    /// The data key, wrapped (nonce, then ciphertext; base64).
    pub wrapped_key: String,
    /// The value's nonce (base64).
    pub nonce: String,
    /// The value, encrypted under the data key (base64).
    pub ciphertext: String,
    /// When this version was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Actor,
}

/// A plain variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Whose it is.
    pub project: ProjectName,
    /// Its name.
    pub name: SettingName,
    /// The environment that it belongs to; none: the whole project.
    pub environment: Option<EnvironmentName>,
    /// Its version, from 1.
    pub version: u64,
    /// Its value.
    pub value: String,
    /// When this version was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Actor,
}

/// The document id of a secret or variable: `PROJECT/ENVIRONMENT/NAME`, with nothing between the slashes for the whole project.
pub fn setting_id(
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
    name: &SettingName,
) -> String {
    format!("{project}/{}/{name}", environment.map_or("", EnvironmentName::as_str))
}

impl Document for SecretRecord {
    const KIND: &'static str = "secret";
    fn id(&self) -> String {
        setting_id(&self.project, self.environment.as_ref(), &self.name)
    }
    fn parent(&self) -> String {
        self.project.to_string()
    }
}

impl Document for Setting {
    const KIND: &'static str = "variable";
    fn id(&self) -> String {
        setting_id(&self.project, self.environment.as_ref(), &self.name)
    }
    fn parent(&self) -> String {
        self.project.to_string()
    }
}

/// The variables that hold in `environment` of `project`: the environment's own before the project's.
pub fn resolve_settings<'a>(
    settings: impl IntoIterator<Item = &'a Setting>,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
) -> BTreeMap<SettingName, String> {
    let of_scope = settings.into_iter().map(|s| (&s.project, s.environment.as_ref(), &s.name, s));
    nearest(of_scope, project, environment)
        .into_iter()
        .map(|(name, s)| (name.clone(), s.value.clone()))
        .collect()
}

/// For each name, the entry of the environment if there is one, else the project's. Others' entries do not count.
pub(crate) fn nearest<'a, T>(
    entries: impl Iterator<Item = (&'a ProjectName, Option<&'a EnvironmentName>, &'a SettingName, T)>,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
) -> BTreeMap<&'a SettingName, T> {
    let mut found: BTreeMap<&SettingName, (bool, T)> = BTreeMap::new();
    for (of, scope, name, entry) in entries {
        if of != project || (scope.is_some() && scope != environment) {
            continue;
        }
        let own = scope.is_some();
        if own || !found.contains_key(name) {
            found.insert(name, (own, entry));
        }
    }
    found.into_iter().map(|(name, (_, entry))| (name, entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(project: &str, environment: Option<&str>, name: &str, value: &str) -> Setting {
        Setting {
            project: project.parse().unwrap(),
            name: name.parse().unwrap(),
            environment: environment.map(|e| e.parse().unwrap()),
            version: 1,
            value: value.into(),
            set_at: Timestamp::from_millis(0),
            set_by: Actor::System,
        }
    }

    #[test]
    fn the_environment_comes_before_the_project_in_either_order() {
        let mut all = vec![
            setting("shop", None, "url", "project"),
            setting("shop", Some("production"), "url", "production"),
            setting("shop", Some("staging"), "only", "staging"),
            setting("shop", None, "mode", "project"),
            setting("other", Some("production"), "mode", "other"),
        ];
        let shop = "shop".parse().unwrap();
        for _ in 0..2 {
            let values = |environment: Option<&str>| -> Vec<(String, String)> {
                let environment = environment.map(|e| e.parse().unwrap());
                resolve_settings(&all, &shop, environment.as_ref())
                    .into_iter()
                    .map(|(n, v)| (n.to_string(), v))
                    .collect()
            };
            let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
                list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
            };
            assert_eq!(values(Some("production")), pairs(&[("MODE", "project"), ("URL", "production")]));
            assert_eq!(
                values(Some("staging")),
                pairs(&[("MODE", "project"), ("ONLY", "staging"), ("URL", "project")])
            );
            assert_eq!(values(None), pairs(&[("MODE", "project"), ("URL", "project")]));
            all.reverse();
        }
    }
}
