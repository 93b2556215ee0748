//! A platform that holds made-up things and answers every call, so that pages and handlers can be tried without a server.

#[path = "data.rs"]
pub(crate) mod data;
mod evidence;
mod images;
mod registry;
#[path = "reports.rs"]
mod reports;
#[path = "source.rs"]
mod source;

use std::sync::Mutex;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use windlass_api as api;
use windlass_api::runner as wire;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{Principal, Role, TokenKind, TokenText};
use windlass_kernel::{Secret, Timestamp};
use windlass_testkit::TestEntropy;
use windlass_web::{Answer, Credential, Download, Page, Platform, RunnerPlatform};

use data::{ACTIVE, Data, FAILED, LIVE};

/// The bearer token that it knows.
pub(crate) const TOKEN: &str = "good-token";
/// The password that opens it.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The fake.
pub(crate) struct Fake {
    pub(crate) data: Data,
    /// The one session, as text.
    pub(crate) session: String,
    /// What was asked of it, in order.
    pub(crate) calls: Mutex<Vec<String>>,
}

impl Fake {
    pub(crate) fn new(now: i64, evil: bool) -> Self {
        let session = TokenText::generate(TokenKind::Session, &TestEntropy::default()).expose().to_owned();
        Self { data: Data { now, evil }, session, calls: Mutex::new(Vec::new()) }
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn known(&self, project: &str) -> Answer<()> {
        if self.data.projects().iter().any(|p| p.name == project) {
            return Ok(());
        }
        Err(Problem::not_found(format!("there is no project `{project}`")))
    }
}

fn text(body: impl Into<Body>, name: &str) -> Download {
    Download { body: body.into(), size: None, name: name.into() }
}

async fn bytes(body: Body) -> Answer<Vec<u8>> {
    let read = to_bytes(body, usize::MAX).await;
    read.map(|b| b.to_vec()).map_err(|e| Problem::new(ErrorCode::TooLarge, e.to_string()))
}

#[async_trait]
impl Platform for Fake {
    async fn authenticate(&self, credential: Credential) -> Answer<Option<Principal>> {
        let known = match &credential {
            Credential::Bearer(token) => token.expose() == TOKEN,
            Credential::Basic(user, password) => user == "ana" && password.expose() == TOKEN,
            Credential::Session(session) => *session.expose() == self.session,
        };
        Ok(known.then(|| Principal::user(&"ana".parse().unwrap(), Role::Admin)))
    }
    async fn sign_in(&self, user: &str, password: &Secret<String>) -> Answer<Secret<String>> {
        if user == "ana" && password.expose() == PASSWORD {
            return Ok(Secret::new(self.session.clone()));
        }
        Err(Problem::new(ErrorCode::Unauthenticated, self.data.t("name or password is wrong")))
    }
    async fn sign_out(&self, _: &Secret<String>) -> Answer<()> {
        self.note("sign_out");
        Ok(())
    }
    async fn check_setup(&self, link: &Secret<String>) -> Answer<()> {
        if link.expose() == "once" {
            Ok(())
        } else {
            Err(Problem::forbidden("this set-up link was used or has expired"))
        }
    }
    async fn setup(&self, link: &Secret<String>, user: &str, _: &Secret<String>) -> Answer<Secret<String>> {
        self.check_setup(link).await?;
        self.note(format!("setup {user}"));
        Ok(Secret::new(self.session.clone()))
    }
    async fn me(&self, _: &Principal) -> Answer<api::Me> {
        Ok(api::Me { actor: "user:ana".into(), role: "admin".into() })
    }
    async fn status(&self, _: &Principal) -> Answer<api::Status> {
        let role = |name: &str, healthy, note: &str| api::RoleStatus {
            name: name.into(),
            healthy,
            pid: Some(4711),
            note: self.data.t(note),
        };
        Ok(api::Status {
            version: "0.1.0".into(),
            started_at: self.data.ago(86_400 * 3),
            url: "http://127.0.0.1:7700".into(),
            gateway_url: "http://127.0.0.1:7780".into(),
            roles: vec![
                role("control", true, "up 3 days"),
                role("gateway", true, "2 routes"),
                role("runner this-machine", false, "last heard of 40 s ago"),
            ],
            projects: 3,
            active_runs: 1,
            active_deployments: 1,
            instances: 5,
            sandbox: self.data.t("namespaces, own root, cgroup v1"),
            ledger_seq: 130,
            needs_setup: false,
        })
    }
    async fn metrics(&self) -> String {
        "# TYPE windlass_runs_active gauge\nwindlass_runs_active 1\n".into()
    }
    async fn events_back(
        &self,
        _: &Principal,
        project: Option<&str>,
        kind: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::EventView>> {
        let before = page.before.as_ref().and_then(|b| b.parse().ok()).unwrap_or(u64::MAX);
        let mut events = self.data.events();
        events.retain(|e| {
            e.seq < before
                && project.is_none_or(|p| e.project.as_deref() == Some(p))
                && e.kind.starts_with(kind.unwrap_or(""))
        });
        events.truncate(if page.limit == 0 { 50 } else { page.limit });
        Ok(events)
    }
    async fn events_after(&self, _: &Principal, _: Option<&str>, after: u64) -> Answer<Vec<api::EventView>> {
        let mut events = self.data.events();
        events.retain(|e| e.seq > after);
        events.reverse();
        if events.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(events)
    }
    async fn audit_verify(&self, _: &Principal) -> Answer<api::AuditReport> {
        Ok(api::AuditReport {
            entries: 130,
            intact: true,
            problem: None,
            head: self.data.events()[0].hash.clone(),
        })
    }
    async fn users(&self, _: &Principal) -> Answer<Vec<api::UserView>> {
        let one = |name: &str, role: &str| api::UserView {
            name: name.into(),
            role: role.into(),
            created_at: self.data.ago(90_000),
        };
        Ok(vec![one("ana", "admin"), one(&self.data.t("ben"), "member")])
    }
    async fn create_user(&self, _: &Principal, user: api::CreateUser) -> Answer<api::UserView> {
        self.note(format!("create_user {} {}", user.name, user.role));
        Ok(api::UserView { name: user.name, role: user.role, created_at: self.data.ago(0) })
    }
    async fn tokens(&self, _: &Principal) -> Answer<Vec<api::TokenView>> {
        Ok(vec![api::TokenView {
            id: "tok_01kag0000000000000000000e1".into(),
            label: self.data.t("laptop"),
            user: "ana".into(),
            created_at: self.data.ago(9000),
        }])
    }
    async fn create_token(&self, who: &Principal, token: api::CreateToken) -> Answer<api::CreatedToken> {
        let mut view = self.tokens(who).await?.remove(0);
        view.label = token.label;
        Ok(api::CreatedToken { token: view, secret: Secret::new("wl_the-new-token".into()) })
    }
    async fn revoke_token(&self, _: &Principal, id: &str) -> Answer<()> {
        self.note(format!("revoke_token {id}"));
        Ok(())
    }
    async fn projects(&self, _: &Principal) -> Answer<Vec<api::ProjectView>> {
        Ok(self.data.projects())
    }
    async fn create_project(&self, _: &Principal, project: api::CreateProject) -> Answer<api::ProjectView> {
        self.note(format!("create_project {}", project.name));
        if project.name == "taken" {
            return Err(Problem::conflict("there is a project `taken` already"));
        }
        Ok(self.data.projects().remove(2))
    }
    async fn project(&self, _: &Principal, project: &str) -> Answer<api::ProjectView> {
        let found = self.data.projects().into_iter().find(|p| p.name == project);
        found.ok_or_else(|| Problem::not_found(format!("there is no project `{project}`")))
    }
    async fn refs(&self, _: &Principal, project: &str) -> Answer<Vec<api::RefView>> {
        self.known(project)?;
        Ok(if project == "prompts" { Vec::new() } else { self.data.refs() })
    }
    async fn commits(
        &self,
        _: &Principal,
        project: &str,
        reference: &str,
        _: &Page,
    ) -> Answer<Vec<api::CommitView>> {
        self.known(project)?;
        self.note(format!("commits {reference}"));
        Ok(self.data.commits())
    }
    async fn commit(&self, _: &Principal, project: &str, _: &str) -> Answer<api::CommitDetail> {
        self.known(project)?;
        Ok(self.data.commit())
    }
    async fn file(&self, _: &Principal, project: &str, reference: &str, path: &str) -> Answer<api::FileView> {
        self.known(project)?;
        self.data
            .file(reference, path)
            .ok_or_else(|| Problem::not_found(format!("there is no `{path}` at {reference}")))
    }
    async fn compare(
        &self,
        _: &Principal,
        project: &str,
        _: &str,
        _: &str,
    ) -> Answer<(Vec<api::CommitView>, Vec<api::FileDiff>)> {
        self.known(project)?;
        Ok((self.data.commits(), self.data.files()))
    }
    async fn changes(&self, _: &Principal, project: &str, _: &Page) -> Answer<Vec<api::ChangeView>> {
        self.known(project)?;
        Ok(self.data.changes())
    }
    async fn close_change(&self, _: &Principal, project: &str, number: u64) -> Answer<api::ChangeView> {
        self.note(format!("close {project} {number}"));
        Ok(self.data.changes().remove(0))
    }
    async fn runs(&self, _: &Principal, project: Option<&str>, page: &Page) -> Answer<Vec<api::RunSummary>> {
        self.note(format!("runs {} {:?}", page.limit, page.before));
        Ok(if project.is_some_and(|p| p != "tasks") { Vec::new() } else { self.data.runs() })
    }
    async fn run(&self, _: &Principal, run: &str) -> Answer<api::RunDetail> {
        if !self.data.runs().iter().any(|r| r.id == run) {
            return Err(Problem::not_found(format!("there is no run `{run}`")));
        }
        Ok(self.data.run(run))
    }
    async fn cancel_run(&self, _: &Principal, run: &str) -> Answer<()> {
        self.note(format!("cancel_run {run}"));
        Ok(())
    }
    async fn rerun(&self, _: &Principal, run: &str, how: api::Rerun) -> Answer<()> {
        self.note(format!("rerun {run} {} {}", how.failed_only, how.job.unwrap_or_default()));
        Ok(())
    }
    async fn attempts(&self, who: &Principal, run: &str) -> Answer<Vec<api::RunSummary>> {
        let latest = self.run(who, run).await?.summary;
        let earlier = (1..latest.attempt).rev().map(|attempt| api::RunSummary { attempt, ..latest.clone() });
        Ok(std::iter::once(latest.clone()).chain(earlier.collect::<Vec<_>>()).collect())
    }
    async fn attempt(&self, who: &Principal, run: &str, attempt: u32) -> Answer<api::RunDetail> {
        self.note(format!("attempt {run} {attempt}"));
        let mut found = self.run(who, run).await?;
        found.summary.attempt = attempt;
        Ok(found)
    }
    async fn repository_dispatch(
        &self,
        _: &Principal,
        project: &str,
        event: api::RepositoryDispatch,
    ) -> Answer<Vec<api::RunSummary>> {
        self.note(format!("repository_dispatch {project} {}", event.event_type));
        Ok(Vec::new())
    }
    async fn workflows(&self, _: &Principal, project: &str) -> Answer<Vec<api::WorkflowView>> {
        Ok(if project == "tasks" { self.data.workflows() } else { Vec::new() })
    }
    async fn dispatch(
        &self,
        _: &Principal,
        project: &str,
        file: &str,
        how: api::Dispatch,
    ) -> Answer<api::RunSummary> {
        self.note(format!(
            "dispatch {project} {file} {} {}",
            how.git_ref,
            serde_json::to_string(&how.inputs).unwrap()
        ));
        Ok(self.data.runs().remove(0))
    }
    async fn job_log(&self, _: &Principal, _: &str, _: &str, offset: u64, limit: u64) -> Answer<Download> {
        let all = self.data.log_parts().concat().into_bytes();
        let from = (offset as usize).min(all.len());
        let to = if limit == 0 { all.len() } else { (from + limit as usize).min(all.len()) };
        Ok(text(all[from..to].to_vec(), "job.log"))
    }
    async fn log_outline(&self, _: &Principal, run: &str, job: &str) -> Answer<api::LogOutline> {
        Ok(self.data.log_outline(run, job))
    }
    async fn log_window(
        &self,
        _: &Principal,
        _: &str,
        _: &str,
        from: u64,
        count: usize,
    ) -> Answer<api::LogWindow> {
        let all = self.data.log_parts().concat();
        let lines = all.lines().skip(from.max(1) as usize - 1).take(count).map(str::to_owned);
        Ok(api::LogWindow { first: from.max(1), lines: lines.collect() })
    }
    async fn log_search(
        &self,
        _: &Principal,
        _: &str,
        _: &str,
        wanted: &str,
        from: u64,
        limit: usize,
    ) -> Answer<api::LogHits> {
        self.note(format!("log_search {wanted} {from} {limit}"));
        let hit = api::LogHit { line: 7, text: self.data.t(wanted) };
        Ok(api::LogHits { hits: vec![hit], next: None })
    }
    async fn run_reports(&self, _: &Principal, run: &str) -> Answer<api::RunReports> {
        Ok(self.data.reports(run))
    }
    async fn test_history(
        &self,
        _: &Principal,
        _: &str,
        branch: &str,
        wanted: &str,
    ) -> Answer<api::TestHistoryView> {
        self.note(format!("test_history {branch} {wanted}"));
        Ok(self.data.test_history(branch))
    }
    async fn coverage_trend(&self, _: &Principal, _: &str, _: &str) -> Answer<Vec<api::CoverageTrend>> {
        Ok(vec![self.data.coverage_trend()])
    }
    async fn branch_findings(&self, _: &Principal, of: &str, _: &str) -> Answer<api::BranchFindings> {
        if of != "tasks" {
            return Ok(api::BranchFindings::default());
        }
        let mut gone = self.data.findings().findings;
        gone[0].until = Some(self.data.point(41));
        Ok(api::BranchFindings { open: vec![self.data.findings()], gone })
    }
    async fn artifact(&self, _: &Principal, _: &str) -> Answer<Download> {
        Ok(Download { body: Body::from("zip"), size: Some(3), name: "réport.zip".into() })
    }
    async fn environments(&self, _: &Principal, project: &str) -> Answer<Vec<api::EnvironmentView>> {
        Ok(if project == "tasks" { self.data.environments() } else { Vec::new() })
    }
    async fn releases(&self, _: &Principal, _: &str, _: &Page) -> Answer<Vec<api::ReleaseView>> {
        Ok([14, 13, 12, 11].map(|n| self.data.release(n)).to_vec())
    }
    async fn deployments(
        &self,
        _: &Principal,
        project: &str,
        _: Option<&str>,
        _: &Page,
    ) -> Answer<Vec<api::DeploymentView>> {
        Ok(if project == "tasks" {
            [ACTIVE, FAILED, LIVE].map(|id| self.data.deployment(id)).to_vec()
        } else {
            Vec::new()
        })
    }
    async fn deployment(&self, _: &Principal, deployment: &str) -> Answer<api::DeploymentView> {
        if [ACTIVE, FAILED, LIVE].contains(&deployment) {
            Ok(self.data.deployment(deployment))
        } else {
            Err(Problem::not_found("there is no such deployment"))
        }
    }
    async fn deploy(
        &self,
        _: &Principal,
        project: &str,
        how: api::CreateDeployment,
    ) -> Answer<api::DeploymentView> {
        self.note(format!("deploy {project} {} {}", how.environment, how.release));
        Ok(self.data.deployment(ACTIVE))
    }
    async fn rollback(
        &self,
        _: &Principal,
        project: &str,
        environment: &str,
        how: api::Rollback,
    ) -> Answer<api::DeploymentView> {
        self.note(format!("rollback {project} {environment} {:?}", how.release));
        Ok(self.data.deployment(ACTIVE))
    }
    async fn approvals(&self, _: &Principal, _: Option<&str>) -> Answer<Vec<api::ApprovalView>> {
        Ok(self.data.approvals())
    }
    async fn decide(&self, _: &Principal, approval: &str, how: api::Decide) -> Answer<api::ApprovalView> {
        self.note(format!("decide {approval} {} {}", how.approve, how.comment));
        Ok(self.data.approval("production", "approved"))
    }
    async fn services(&self, _: &Principal, _: Option<&str>) -> Answer<Vec<api::ServiceSummary>> {
        Ok(["staging", "production"].map(|e| self.data.service_summary(e)).to_vec())
    }
    async fn service(
        &self,
        _: &Principal,
        project: &str,
        environment: &str,
        _: &str,
    ) -> Answer<api::ServiceView> {
        self.known(project)?;
        Ok(self.data.service(environment))
    }
    async fn service_metrics(
        &self,
        _: &Principal,
        _: &str,
        _: &str,
        _: &str,
        minutes: u32,
    ) -> Answer<api::ServiceMetrics> {
        Ok(self.data.metrics(minutes))
    }
    async fn series(
        &self,
        _: &Principal,
        _: &str,
        _: &str,
        _: &str,
        metric: &str,
        _: u32,
    ) -> Answer<Vec<api::Series>> {
        let labels = [("__name__".to_owned(), metric.to_owned())].into();
        Ok(vec![api::Series { labels, points: vec![(Timestamp::from_millis(1), 1.5)] }])
    }
    async fn service_logs(
        &self,
        _: &Principal,
        _: &str,
        _: &str,
        _: &str,
        query: api::LogQuery,
    ) -> Answer<Vec<api::LogLine>> {
        let mut lines = self.data.log_lines();
        let after = query.after.and_then(|a| a.parse::<u64>().ok());
        lines.retain(|l| {
            after.is_none_or(|a| l.cursor.parse::<u64>().unwrap() > a) && l.text.contains(&query.q)
        });
        Ok(lines)
    }
    async fn settings(&self, _: &Principal, _: &str, secret: bool) -> Answer<Vec<api::SettingView>> {
        Ok(self.data.settings(secret))
    }
    async fn set_setting(
        &self,
        _: &Principal,
        project: &str,
        secret: bool,
        name: &str,
        how: api::SetSetting,
    ) -> Answer<api::SettingView> {
        self.note(format!(
            "set_setting {project} {secret} {name} {:?} {}",
            how.environment,
            how.value.expose()
        ));
        Ok(self.data.settings(secret).remove(0))
    }
    async fn delete_setting(
        &self,
        _: &Principal,
        project: &str,
        secret: bool,
        environment: Option<&str>,
        name: &str,
    ) -> Answer<()> {
        self.note(format!("delete_setting {project} {secret} {environment:?} {name}"));
        Ok(())
    }
}

#[async_trait]
impl RunnerPlatform for Fake {
    async fn lease(&self, _: &Principal, request: wire::LeaseRequest) -> Answer<Option<wire::Assignment>> {
        self.note(format!("lease {}", request.runner));
        Ok(None)
    }
    async fn lost(&self, _: &Principal, job: &str, lost: wire::Lost) -> Answer<()> {
        self.note(format!("lost {job} {}", lost.reason));
        Ok(())
    }
    async fn updates(
        &self,
        _: &Principal,
        job: &str,
        updates: wire::JobUpdates,
    ) -> Answer<wire::UpdateReply> {
        self.note(format!("updates {job} {}", updates.updates.len()));
        Ok(wire::UpdateReply {
            acknowledged: updates.updates.last().map_or(0, |u| u.seq),
            cancel: None,
            lost: false,
        })
    }
    async fn append_log(&self, _: &Principal, job: &str, offset: u64, body: Body) -> Answer<wire::LogReply> {
        let read = bytes(body).await?;
        self.note(format!("append_log {job} {offset} {}", read.len()));
        Ok(wire::LogReply { next_offset: offset + read.len() as u64 })
    }
    async fn put_artifact(
        &self,
        _: &Principal,
        job: &str,
        name: &str,
        days: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        let read = bytes(body).await?;
        self.note(format!("put_artifact {job} {name} {days:?} {}", read.len()));
        Ok(self.data.artifacts().remove(0))
    }
    async fn replace_artifact(
        &self,
        _: &Principal,
        job: &str,
        name: &str,
        _: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        let read = bytes(body).await?;
        self.note(format!("replace_artifact {job} {name} {}", read.len()));
        Ok(self.data.artifacts().remove(0))
    }
    async fn list_artifacts(&self, _: &Principal, _: &str) -> Answer<Vec<api::ArtifactView>> {
        Ok(self.data.artifacts())
    }
    async fn get_artifact(&self, _: &Principal, _: &str, name: &str) -> Answer<Download> {
        Ok(text("zip", name))
    }
    async fn get_cache(
        &self,
        _: &Principal,
        _: &str,
        version: &str,
        keys: &[String],
    ) -> Answer<Option<(String, Download)>> {
        self.note(format!("get_cache {version} {keys:?}"));
        let hit = keys.iter().find(|k| k.starts_with("hit"));
        Ok(hit.map(|key| (key.clone(), text("archive", "cache"))))
    }
    async fn put_cache(&self, _: &Principal, _: &str, _: &str, key: &str, body: Body) -> Answer<()> {
        bytes(body).await?;
        if key == "there" { Err(Problem::conflict("this key is there already")) } else { Ok(()) }
    }
    async fn build_image(
        &self,
        _: &Principal,
        job: &str,
        spec: wire::BuildImage,
        body: Body,
    ) -> Answer<wire::BuiltImage> {
        let size = bytes(body).await?.len() as u64;
        self.note(format!("build_image {job} {} {size}", spec.base));
        Ok(wire::BuiltImage { digest: "sha256:00".into(), reference: "x@sha256:00".into(), size })
    }
    async fn start_deployment(
        &self,
        _: &Principal,
        job: &str,
        how: wire::StartDeployment,
    ) -> Answer<api::DeploymentView> {
        self.note(format!("start_deployment {job} {}", how.images.len()));
        Ok(self.data.deployment(ACTIVE))
    }
    async fn get_deployment(&self, _: &Principal, _: &str, deployment: &str) -> Answer<api::DeploymentView> {
        Ok(self.data.deployment(deployment))
    }
}
