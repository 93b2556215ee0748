//! Secrets and variables: setting, listing, removing, and handing them to jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal};
use windlass_kernel::{
    Batch, Document, EnvironmentName, NewEvent, ProjectName, Query, Secret, StoreExt as _, Timestamp,
};
use windlass_secrets::{Sealing, SecretRecord, Setting, SettingName, resolve_settings, setting_id};

use crate::context::{Context, internal, may_project, parse, stored};

type Answer<T> = Result<T, Problem>;

/// A version of a secret, kept for the releases that were made with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ArchivedSecret {
    pub(crate) record: SecretRecord,
}

impl ArchivedSecret {
    /// The key of a version of the secret that `record` is a version of.
    pub(crate) fn key(record: &SecretRecord, version: u64) -> String {
        format!("{}@{version}", setting_id(&record.project, record.environment.as_ref(), &record.name))
    }
}

impl Document for ArchivedSecret {
    const KIND: &'static str = "secret_version";

    fn id(&self) -> String {
        Self::key(&self.record, self.record.version)
    }

    fn parent(&self) -> String {
        self.record.project.to_string()
    }
}

impl Context {
    pub(crate) async fn list_settings(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
    ) -> Answer<Vec<api::SettingView>> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::ReadSettings, &project)?;
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        if secret {
            let records = self.store.list::<SecretRecord>(&query).await.map_err(stored)?;
            return Ok(records.iter().map(|r| secret_view(&r.value)).collect());
        }
        let settings = self.store.list::<Setting>(&query).await.map_err(stored)?;
        Ok(settings.iter().map(|s| variable_view(&s.value)).collect())
    }

    pub(crate) async fn set_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        name: &str,
        how: api::SetSetting,
    ) -> Answer<api::SettingView> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::WriteSettings, &project)?;
        let name: SettingName = parse(name)?;
        let environment: Option<EnvironmentName> = how.environment.as_deref().map(parse).transpose()?;
        let id = setting_id(&project, environment.as_ref(), &name);
        let now = self.now();
        let kind = if secret { "secret.set" } else { "variable.set" };
        let event = |version: u64| {
            NewEvent::new(now, who.actor.clone(), kind, &name)
                .project(&project)
                .data(json!({"environment": environment, "version": version}))
        };
        if secret {
            let standing = self.store.get::<SecretRecord>(&id).await.map_err(stored)?;
            let version = standing.as_ref().map_or(1, |s| s.value.version + 1);
            let sealing = Sealing {
                project: project.clone(),
                environment: environment.clone(),
                name: name.clone(),
                version,
                at: now,
                by: who.actor.clone(),
            };
            let record = self.vault.seal(sealing, &how.value).map_err(|e| Problem::invalid(e.to_string()))?;
            let archived = ArchivedSecret { record: record.clone() };
            let batch = Batch::new().update(&record, standing.map_or(0, |s| s.version)).put(&archived);
            self.commit(batch.event(event(version))).await.map_err(stored)?;
            return Ok(secret_view(&record));
        }
        let standing = self.store.get::<Setting>(&id).await.map_err(stored)?;
        let version = standing.as_ref().map_or(1, |s| s.value.version + 1);
        let setting = Setting {
            project: project.clone(),
            name: name.clone(),
            environment: environment.clone(),
            version,
            value: how.value.expose().clone(),
            set_at: now,
            set_by: who.actor.clone(),
        };
        let batch = Batch::new().update(&setting, standing.map_or(0, |s| s.version));
        self.commit(batch.event(event(version))).await.map_err(stored)?;
        Ok(variable_view(&setting))
    }

    pub(crate) async fn delete_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        environment: Option<&str>,
        name: &str,
    ) -> Answer<()> {
        let project: ProjectName = parse(project)?;
        may_project(who, Action::WriteSettings, &project)?;
        let name: SettingName = parse(name)?;
        let environment: Option<EnvironmentName> = environment.map(parse).transpose()?;
        let id = setting_id(&project, environment.as_ref(), &name);
        let there = if secret {
            self.store.get::<SecretRecord>(&id).await.map_err(stored)?.is_some()
        } else {
            self.store.get::<Setting>(&id).await.map_err(stored)?.is_some()
        };
        if !there {
            return Err(Problem::not_found(format!("{name} is not set there")));
        }
        let kind = if secret { "secret.removed" } else { "variable.removed" };
        let event = NewEvent::new(self.now(), who.actor.clone(), kind, &name)
            .project(&project)
            .data(json!({"environment": environment}));
        let mut batch = Batch::new().event(event);
        if secret {
            // Whoever removes a secret wants it gone; and its versions begin at 1 again should it be set once more.
            let query = Query { parent: Some(project.to_string()), ..Query::default() };
            for old in self.store.list::<ArchivedSecret>(&query).await.map_err(stored)? {
                if old.value.id().rsplit_once('@').is_some_and(|(of, _)| of == id) {
                    batch = batch.delete::<ArchivedSecret>(old.value.id());
                }
            }
        }
        let batch = if secret { batch.delete::<SecretRecord>(&id) } else { batch.delete::<Setting>(&id) };
        self.commit(batch).await.map_err(stored)?;
        Ok(())
    }

    /// The secrets that a job in `environment` (or in none) sees, opened.
    pub(crate) async fn job_secrets(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
    ) -> Answer<BTreeMap<String, Secret<String>>> {
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let records = self.store.list::<SecretRecord>(&query).await.map_err(stored)?;
        let records: Vec<SecretRecord> = records.into_iter().map(|r| r.value).collect();
        let opened = self.vault.resolve(&records, project, environment);
        let opened = opened.map_err(|e| internal("a secret cannot be opened", &e))?;
        Ok(opened.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// The variables that hold in `environment` (or in none).
    pub(crate) async fn job_variables(
        &self,
        project: &ProjectName,
        environment: Option<&EnvironmentName>,
    ) -> Answer<BTreeMap<String, String>> {
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let settings = self.store.list::<Setting>(&query).await.map_err(stored)?;
        let settings: Vec<Setting> = settings.into_iter().map(|s| s.value).collect();
        let resolved = resolve_settings(&settings, project, environment);
        Ok(resolved.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// The versions of secrets and variables that stand now for an environment: what a release pins. Both the
    /// project's and the environment's own: whichever holds when an instance is started.
    pub(crate) async fn config_versions(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Answer<BTreeMap<String, u64>> {
        let query = Query { parent: Some(project.to_string()), ..Query::default() };
        let mut versions = BTreeMap::new();
        let holds = |of: Option<&EnvironmentName>| of.is_none() || of == Some(environment);
        for record in self.store.list::<SecretRecord>(&query).await.map_err(stored)? {
            let of = record.value.environment.as_ref();
            if holds(of) {
                versions.insert(secret_pin(&record.value.name, of), record.value.version);
            }
        }
        for setting in self.store.list::<Setting>(&query).await.map_err(stored)? {
            let of = setting.value.environment.as_ref();
            if holds(of) {
                let key = format!("vars.{}", pin(&setting.value.name, of));
                versions.insert(key, setting.value.version);
            }
        }
        Ok(versions)
    }
}

/// The name under which a release pins a secret's version. A variable may have the same name, and the environment's own
/// secret another version than the project's.
pub(crate) fn secret_pin(name: &SettingName, of: Option<&EnvironmentName>) -> String {
    format!("secrets.{}", pin(name, of))
}

fn pin(name: &SettingName, of: Option<&EnvironmentName>) -> String {
    of.map_or_else(|| name.to_string(), |of| format!("{name}@{of}"))
}

fn secret_view(r: &SecretRecord) -> api::SettingView {
    view(&r.name, r.environment.as_ref(), None, r.version, r.set_at, &r.set_by)
}

fn variable_view(s: &Setting) -> api::SettingView {
    view(&s.name, s.environment.as_ref(), Some(s.value.clone()), s.version, s.set_at, &s.set_by)
}

fn view(
    name: &SettingName,
    environment: Option<&EnvironmentName>,
    value: Option<String>,
    version: u64,
    updated_at: Timestamp,
    by: &windlass_kernel::Actor,
) -> api::SettingView {
    let environment = environment.map(ToString::to_string);
    api::SettingView {
        name: name.to_string(),
        environment,
        value,
        version,
        updated_at,
        updated_by: by.to_string(),
    }
}
