//! The calls of people and programs.

use async_trait::async_trait;
use windlass_api as api;
use windlass_identity::Principal;
use windlass_kernel::Secret;
use windlass_web::{Answer, Credential, Download, Page, Platform};

use crate::platform::Control;

#[async_trait]
impl Platform for Control {
    async fn authenticate(&self, credential: Credential) -> Answer<Option<Principal>> {
        self.0.authenticate(&credential).await
    }

    async fn sign_in(&self, user: &str, password: &Secret<String>) -> Answer<Secret<String>> {
        self.0.sign_in(user, password).await
    }

    async fn sign_out(&self, cookie: &Secret<String>) -> Answer<()> {
        self.0.sign_out(cookie).await
    }

    async fn check_setup(&self, link: &Secret<String>) -> Answer<()> {
        self.0.check_setup(link).await
    }

    async fn setup(
        &self,
        link: &Secret<String>,
        user: &str,
        password: &Secret<String>,
    ) -> Answer<Secret<String>> {
        self.0.setup(link, user, password).await
    }

    async fn me(&self, who: &Principal) -> Answer<api::Me> {
        Ok(api::Me { actor: who.actor.to_string(), role: who.role.to_string() })
    }

    async fn status(&self, who: &Principal) -> Answer<api::Status> {
        self.0.status(who).await
    }

    async fn metrics(&self) -> String {
        crate::observe::own(&self.0).await
    }

    async fn events_back(
        &self,
        who: &Principal,
        project: Option<&str>,
        kind: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::EventView>> {
        self.0.events_back(who, project, kind, page).await
    }

    async fn events_after(
        &self,
        who: &Principal,
        project: Option<&str>,
        after: u64,
    ) -> Answer<Vec<api::EventView>> {
        self.0.events_after(who, project, after).await
    }

    async fn audit_verify(&self, who: &Principal) -> Answer<api::AuditReport> {
        self.0.audit_verify(who).await
    }

    async fn users(&self, who: &Principal) -> Answer<Vec<api::UserView>> {
        self.0.users(who).await
    }

    async fn create_user(&self, who: &Principal, user: api::CreateUser) -> Answer<api::UserView> {
        self.0.create_user(who, user).await
    }

    async fn tokens(&self, who: &Principal) -> Answer<Vec<api::TokenView>> {
        self.0.tokens(who).await
    }

    async fn create_token(&self, who: &Principal, token: api::CreateToken) -> Answer<api::CreatedToken> {
        self.0.create_token(who, token).await
    }

    async fn revoke_token(&self, who: &Principal, id: &str) -> Answer<()> {
        self.0.revoke_token(who, id).await
    }

    async fn projects(&self, who: &Principal) -> Answer<Vec<api::ProjectView>> {
        self.0.projects(who).await
    }

    async fn create_project(&self, who: &Principal, project: api::CreateProject) -> Answer<api::ProjectView> {
        self.0.create_project(who, project).await
    }

    async fn project(&self, who: &Principal, project: &str) -> Answer<api::ProjectView> {
        self.0.project(who, project).await
    }

    async fn refs(&self, who: &Principal, project: &str) -> Answer<Vec<api::RefView>> {
        self.0.refs(who, project).await
    }

    async fn commits(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        page: &Page,
    ) -> Answer<Vec<api::CommitView>> {
        self.0.commits(who, project, reference, page).await
    }

    async fn commit(&self, who: &Principal, project: &str, sha: &str) -> Answer<api::CommitDetail> {
        self.0.commit_detail(who, project, sha).await
    }

    async fn file(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        path: &str,
    ) -> Answer<api::FileView> {
        self.0.file(who, project, reference, path).await
    }

    async fn compare(
        &self,
        who: &Principal,
        project: &str,
        base: &str,
        head: &str,
    ) -> Answer<(Vec<api::CommitView>, Vec<api::FileDiff>)> {
        self.0.compare(who, project, base, head).await
    }

    async fn changes(&self, who: &Principal, project: &str, page: &Page) -> Answer<Vec<api::ChangeView>> {
        self.0.changes(who, project, page).await
    }

    async fn close_change(&self, who: &Principal, project: &str, number: u64) -> Answer<api::ChangeView> {
        self.0.close_change(who, project, number).await
    }

    async fn runs(
        &self,
        who: &Principal,
        project: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::RunSummary>> {
        self.0.runs(who, project, page).await
    }

    async fn run(&self, who: &Principal, run: &str) -> Answer<api::RunDetail> {
        self.0.run(who, run).await
    }

    async fn cancel_run(&self, who: &Principal, run: &str) -> Answer<()> {
        self.0.cancel_run(who, run).await
    }

    async fn rerun(&self, who: &Principal, run: &str, how: api::Rerun) -> Answer<()> {
        self.0.rerun(who, run, how).await
    }

    async fn attempts(&self, who: &Principal, run: &str) -> Answer<Vec<api::RunSummary>> {
        self.0.attempts(who, run).await
    }

    async fn attempt(&self, who: &Principal, run: &str, attempt: u32) -> Answer<api::RunDetail> {
        self.0.attempt(who, run, attempt).await
    }

    async fn repository_dispatch(
        &self,
        who: &Principal,
        project: &str,
        event: api::RepositoryDispatch,
    ) -> Answer<Vec<api::RunSummary>> {
        self.0.repository_dispatch(who, project, event).await
    }

    async fn workflows(&self, who: &Principal, project: &str) -> Answer<Vec<api::WorkflowView>> {
        self.0.workflows(who, project).await
    }

    async fn dispatch(
        &self,
        who: &Principal,
        project: &str,
        file: &str,
        how: api::Dispatch,
    ) -> Answer<api::RunSummary> {
        self.0.dispatch(who, project, file, how).await
    }

    async fn job_log(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        offset: u64,
        limit: u64,
    ) -> Answer<Download> {
        self.0.job_log(who, run, job, offset, limit).await
    }

    async fn log_outline(&self, who: &Principal, run: &str, job: &str) -> Answer<api::LogOutline> {
        self.0.log_outline(who, run, job).await
    }

    async fn log_window(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        from: u64,
        count: usize,
    ) -> Answer<api::LogWindow> {
        self.0.log_window(who, run, job, from, count).await
    }

    async fn log_search(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        text: &str,
        from: u64,
        limit: usize,
    ) -> Answer<api::LogHits> {
        self.0.log_search(who, run, job, text, from, limit).await
    }

    async fn run_reports(&self, who: &Principal, run: &str) -> Answer<api::RunReports> {
        self.0.run_reports(who, run).await
    }

    async fn test_history(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
        wanted: &str,
    ) -> Answer<api::TestHistoryView> {
        self.0.test_history(who, project, branch, wanted).await
    }

    async fn coverage_trend(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<Vec<api::CoverageTrend>> {
        self.0.coverage_trend(who, project, branch).await
    }

    async fn branch_findings(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<api::BranchFindings> {
        self.0.branch_findings(who, project, branch).await
    }

    async fn artifact(&self, who: &Principal, artifact: &str) -> Answer<Download> {
        self.0.artifact(who, artifact).await
    }

    async fn environments(&self, who: &Principal, project: &str) -> Answer<Vec<api::EnvironmentView>> {
        self.0.environments(who, project).await
    }

    async fn releases(&self, who: &Principal, project: &str, page: &Page) -> Answer<Vec<api::ReleaseView>> {
        self.0.releases(who, project, page).await
    }

    async fn deployments(
        &self,
        who: &Principal,
        project: &str,
        environment: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::DeploymentView>> {
        self.0.deployments(who, project, environment, page).await
    }

    async fn deployment(&self, who: &Principal, deployment: &str) -> Answer<api::DeploymentView> {
        self.0.deployment(who, deployment).await
    }

    async fn deploy(
        &self,
        who: &Principal,
        project: &str,
        how: api::CreateDeployment,
    ) -> Answer<api::DeploymentView> {
        self.0.deploy(who, project, how).await
    }

    async fn rollback(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::Rollback,
    ) -> Answer<api::DeploymentView> {
        self.0.rollback(who, project, environment, how).await
    }

    async fn approvals(&self, who: &Principal, project: Option<&str>) -> Answer<Vec<api::ApprovalView>> {
        self.0.approvals(who, project).await
    }

    async fn decide(&self, who: &Principal, approval: &str, how: api::Decide) -> Answer<api::ApprovalView> {
        self.0.decide(who, approval, how).await
    }

    async fn services(&self, who: &Principal, project: Option<&str>) -> Answer<Vec<api::ServiceSummary>> {
        self.0.services(who, project).await
    }

    async fn service(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
    ) -> Answer<api::ServiceView> {
        self.0.service(who, project, environment, service).await
    }

    async fn service_metrics(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        minutes: u32,
    ) -> Answer<api::ServiceMetrics> {
        self.0.service_metrics(who, project, environment, service, minutes).await
    }

    async fn series(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        metric: &str,
        minutes: u32,
    ) -> Answer<Vec<api::Series>> {
        self.0.series(who, project, environment, service, metric, minutes).await
    }

    async fn service_logs(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        query: api::LogQuery,
    ) -> Answer<Vec<api::LogLine>> {
        self.0.service_logs(who, project, environment, service, query).await
    }

    async fn settings(&self, who: &Principal, project: &str, secret: bool) -> Answer<Vec<api::SettingView>> {
        self.0.list_settings(who, project, secret).await
    }

    async fn set_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        name: &str,
        how: api::SetSetting,
    ) -> Answer<api::SettingView> {
        self.0.set_setting(who, project, secret, name, how).await
    }

    async fn delete_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        environment: Option<&str>,
        name: &str,
    ) -> Answer<()> {
        self.0.delete_setting(who, project, secret, environment, name).await
    }
}
