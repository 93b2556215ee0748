//! What the pages and the JSON handlers ask of the platform: one method per call of the API, over wire types.
//! `server` implements it and decides permissions there (`identity::authorize`), so that a handler cannot forget to.

use async_trait::async_trait;
use axum::body::Body;
use windlass_api as api;
use windlass_api::Problem;
use windlass_api::runner as wire;
use windlass_identity::Principal;
use windlass_kernel::Secret;

/// The answer of every call.
pub type Answer<T> = Result<T, Problem>;

/// What a request shows to say who it comes from.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `Authorization: Bearer …`: an API token, a job's token or a runner's.
    Bearer(Secret<String>),
    /// `Authorization: Basic …`: a name, and a token or a password.
    Basic(String, Secret<String>),
    /// The session cookie of a browser.
    Session(Secret<String>),
}

/// A list's window: at most `limit` entries, those before `before` (an id or a ledger number) if given.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Page {
    /// How many at most; 0 for the default.
    #[serde(default)]
    pub limit: usize,
    /// Only entries older than this one.
    #[serde(default)]
    pub before: Option<String>,
}

/// A part of a stored text or archive.
#[derive(Debug)]
pub struct Download {
    /// The bytes.
    pub body: Body,
    /// Their number, if known beforehand.
    pub size: Option<u64>,
    /// A file name to offer.
    pub name: String,
}

/// The calls that people and programs make.
#[async_trait]
pub trait Platform: crate::EvidencePlatform + crate::RegistryPlatform + crate::ImagePlatform {
    // Who calls.
    /// Who shows this credential; `None` for one that is not known.
    async fn authenticate(&self, credential: Credential) -> Answer<Option<Principal>>;
    /// Signs a person in: a new session's cookie value.
    async fn sign_in(&self, user: &str, password: &Secret<String>) -> Answer<Secret<String>>;
    /// Ends a session.
    async fn sign_out(&self, cookie: &Secret<String>) -> Answer<()>;
    /// Whether this one-time set-up link is still good.
    async fn check_setup(&self, link: &Secret<String>) -> Answer<()>;
    /// Makes the first administrator by the one-time link, and signs them in.
    async fn setup(
        &self,
        link: &Secret<String>,
        user: &str,
        password: &Secret<String>,
    ) -> Answer<Secret<String>>;
    /// Who the caller is.
    async fn me(&self, who: &Principal) -> Answer<api::Me>;

    // The platform.
    /// What it is doing.
    async fn status(&self, who: &Principal) -> Answer<api::Status>;
    /// Its own metrics, in the Prometheus text format 0.0.4.
    async fn metrics(&self) -> String;
    /// Ledger entries, newest first.
    async fn events_back(
        &self,
        who: &Principal,
        project: Option<&str>,
        kind: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::EventView>>;
    /// Ledger entries behind `after`, oldest first; waits up to 25 seconds for the first.
    async fn events_after(
        &self,
        who: &Principal,
        project: Option<&str>,
        after: u64,
    ) -> Answer<Vec<api::EventView>>;
    /// Checks the ledger's chain.
    async fn audit_verify(&self, who: &Principal) -> Answer<api::AuditReport>;

    // Accounts.
    /// All accounts.
    async fn users(&self, who: &Principal) -> Answer<Vec<api::UserView>>;
    /// Makes an account.
    async fn create_user(&self, who: &Principal, user: api::CreateUser) -> Answer<api::UserView>;
    /// The caller's tokens.
    async fn tokens(&self, who: &Principal) -> Answer<Vec<api::TokenView>>;
    /// Makes a token of the caller's.
    async fn create_token(&self, who: &Principal, token: api::CreateToken) -> Answer<api::CreatedToken>;
    /// Withdraws a token.
    async fn revoke_token(&self, who: &Principal, id: &str) -> Answer<()>;

    // Projects and their source.
    /// All projects that the caller may see.
    async fn projects(&self, who: &Principal) -> Answer<Vec<api::ProjectView>>;
    /// Makes one.
    async fn create_project(&self, who: &Principal, project: api::CreateProject) -> Answer<api::ProjectView>;
    /// One.
    async fn project(&self, who: &Principal, project: &str) -> Answer<api::ProjectView>;
    /// Branches and tags.
    async fn refs(&self, who: &Principal, project: &str) -> Answer<Vec<api::RefView>>;
    /// Commits of a ref, newest first.
    async fn commits(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        page: &Page,
    ) -> Answer<Vec<api::CommitView>>;
    /// A commit with its diff.
    async fn commit(&self, who: &Principal, project: &str, sha: &str) -> Answer<api::CommitDetail>;
    /// A file or folder at a ref.
    async fn file(
        &self,
        who: &Principal,
        project: &str,
        reference: &str,
        path: &str,
    ) -> Answer<api::FileView>;
    /// A branch's difference from the default branch: its commits and files (a change before it is merged).
    async fn compare(
        &self,
        who: &Principal,
        project: &str,
        base: &str,
        head: &str,
    ) -> Answer<(Vec<api::CommitView>, Vec<api::FileDiff>)>;

    /// The changes of a project, newest first; `before` is a number.
    async fn changes(&self, who: &Principal, project: &str, page: &Page) -> Answer<Vec<api::ChangeView>>;
    /// Closes a change that is not to be merged.
    async fn close_change(&self, who: &Principal, project: &str, number: u64) -> Answer<api::ChangeView>;

    // Runs.
    /// Runs of a project (or of all), newest first.
    async fn runs(&self, who: &Principal, project: Option<&str>, page: &Page)
    -> Answer<Vec<api::RunSummary>>;
    /// One run.
    async fn run(&self, who: &Principal, run: &str) -> Answer<api::RunDetail>;
    /// Stops a run.
    async fn cancel_run(&self, who: &Principal, run: &str) -> Answer<()>;
    /// Runs again: a new attempt.
    async fn rerun(&self, who: &Principal, run: &str, how: api::Rerun) -> Answer<()>;
    /// The attempts of a run, newest first.
    async fn attempts(&self, who: &Principal, run: &str) -> Answer<Vec<api::RunSummary>>;
    /// One attempt of a run.
    async fn attempt(&self, who: &Principal, run: &str, attempt: u32) -> Answer<api::RunDetail>;
    /// Sends an event of the sender's own: starts what runs on `repository_dispatch`.
    async fn repository_dispatch(
        &self,
        who: &Principal,
        project: &str,
        event: api::RepositoryDispatch,
    ) -> Answer<Vec<api::RunSummary>>;
    /// The workflows of the default branch.
    async fn workflows(&self, who: &Principal, project: &str) -> Answer<Vec<api::WorkflowView>>;
    /// Starts a workflow by hand.
    async fn dispatch(
        &self,
        who: &Principal,
        project: &str,
        file: &str,
        how: api::Dispatch,
    ) -> Answer<api::RunSummary>;
    /// A job's log from a byte on; at most `limit` bytes (0: to the end). Follows nothing: ask again.
    async fn job_log(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        offset: u64,
        limit: u64,
    ) -> Answer<Download>;
    /// How long a job's log is, and its parts.
    async fn log_outline(&self, who: &Principal, run: &str, job: &str) -> Answer<api::LogOutline>;
    /// At most `count` lines of a job's log, from the line `from` on.
    async fn log_window(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        from: u64,
        count: usize,
    ) -> Answer<api::LogWindow>;
    /// The lines of a job's log that hold `text` (in any case), from the line `from` on; at most `limit`.
    async fn log_search(
        &self,
        who: &Principal,
        run: &str,
        job: &str,
        text: &str,
        from: u64,
        limit: usize,
    ) -> Answer<api::LogHits>;
    /// The reports that a run uploaded: tests, coverage, findings.
    async fn run_reports(&self, who: &Principal, run: &str) -> Answer<api::RunReports>;
    /// A branch's tests from run to run; those whose names hold `wanted`.
    async fn test_history(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
        wanted: &str,
    ) -> Answer<api::TestHistoryView>;
    /// A branch's coverage from run to run.
    async fn coverage_trend(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<Vec<api::CoverageTrend>>;
    /// A branch's findings.
    async fn branch_findings(
        &self,
        who: &Principal,
        project: &str,
        branch: &str,
    ) -> Answer<api::BranchFindings>;
    /// An artifact's archive.
    async fn artifact(&self, who: &Principal, artifact: &str) -> Answer<Download>;

    // Delivery.
    /// The environments of a project, in their order.
    async fn environments(&self, who: &Principal, project: &str) -> Answer<Vec<api::EnvironmentView>>;
    /// Releases, newest first.
    async fn releases(&self, who: &Principal, project: &str, page: &Page) -> Answer<Vec<api::ReleaseView>>;
    /// Deployments, newest first.
    async fn deployments(
        &self,
        who: &Principal,
        project: &str,
        environment: Option<&str>,
        page: &Page,
    ) -> Answer<Vec<api::DeploymentView>>;
    /// One deployment.
    async fn deployment(&self, who: &Principal, deployment: &str) -> Answer<api::DeploymentView>;
    /// Deploys a release that exists.
    async fn deploy(
        &self,
        who: &Principal,
        project: &str,
        how: api::CreateDeployment,
    ) -> Answer<api::DeploymentView>;
    /// Goes back to the release before, or to a named one.
    async fn rollback(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        how: api::Rollback,
    ) -> Answer<api::DeploymentView>;
    /// Approvals that are asked for, of one project or all.
    async fn approvals(&self, who: &Principal, project: Option<&str>) -> Answer<Vec<api::ApprovalView>>;
    /// Decides one.
    async fn decide(&self, who: &Principal, approval: &str, how: api::Decide) -> Answer<api::ApprovalView>;

    // Services.
    /// Services of a project (or all), in all environments.
    async fn services(&self, who: &Principal, project: Option<&str>) -> Answer<Vec<api::ServiceSummary>>;
    /// One service in one environment.
    async fn service(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
    ) -> Answer<api::ServiceView>;
    /// Its figures over the last `minutes`.
    async fn service_metrics(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        minutes: u32,
    ) -> Answer<api::ServiceMetrics>;
    /// Series of one metric, by name and labels, over the last `minutes`.
    async fn series(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        metric: &str,
        minutes: u32,
    ) -> Answer<Vec<api::Series>>;
    /// Its log lines.
    async fn service_logs(
        &self,
        who: &Principal,
        project: &str,
        environment: &str,
        service: &str,
        query: api::LogQuery,
    ) -> Answer<Vec<api::LogLine>>;

    // Secrets and variables.
    /// The names of secrets (`secret` true) or the variables of a project.
    async fn settings(&self, who: &Principal, project: &str, secret: bool) -> Answer<Vec<api::SettingView>>;
    /// Sets one.
    async fn set_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        name: &str,
        how: api::SetSetting,
    ) -> Answer<api::SettingView>;
    /// Removes one.
    async fn delete_setting(
        &self,
        who: &Principal,
        project: &str,
        secret: bool,
        environment: Option<&str>,
        name: &str,
    ) -> Answer<()>;
}

/// The calls that runners and job units make (see [`windlass_api::runner`]).
#[async_trait]
pub trait RunnerPlatform: Send + Sync + 'static {
    /// Hands out a job, or `None` when there was none within the wait.
    async fn lease(&self, who: &Principal, request: wire::LeaseRequest) -> Answer<Option<wire::Assignment>>;
    /// A job's unit died.
    async fn lost(&self, who: &Principal, job: &str, lost: wire::Lost) -> Answer<()>;
    /// What happened in a job.
    async fn updates(
        &self,
        who: &Principal,
        job: &str,
        updates: wire::JobUpdates,
    ) -> Answer<wire::UpdateReply>;
    /// More of a job's log.
    async fn append_log(&self, who: &Principal, job: &str, offset: u64, body: Body)
    -> Answer<wire::LogReply>;
    /// Stores an artifact.
    async fn put_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        retention_days: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView>;
    /// Stores an artifact in the place of the run's own one of that name, if there is one. A platform that does not
    /// replace artifacts stores it like any other, and refuses a name that is taken.
    async fn replace_artifact(
        &self,
        who: &Principal,
        job: &str,
        name: &str,
        retention_days: Option<u32>,
        body: Body,
    ) -> Answer<api::ArtifactView> {
        self.put_artifact(who, job, name, retention_days, body).await
    }
    /// The run's artifacts.
    async fn list_artifacts(&self, who: &Principal, job: &str) -> Answer<Vec<api::ArtifactView>>;
    /// An artifact of the run.
    async fn get_artifact(&self, who: &Principal, job: &str, name: &str) -> Answer<Download>;
    /// A cache entry: the key that matched, and its archive.
    async fn get_cache(
        &self,
        who: &Principal,
        job: &str,
        version: &str,
        keys: &[String],
    ) -> Answer<Option<(String, Download)>>;
    /// Stores a cache entry.
    async fn put_cache(&self, who: &Principal, job: &str, version: &str, key: &str, body: Body)
    -> Answer<()>;
    /// Builds an image from a tar.
    async fn build_image(
        &self,
        who: &Principal,
        job: &str,
        spec: wire::BuildImage,
        body: Body,
    ) -> Answer<wire::BuiltImage>;
    /// Deploys to the job's environment.
    async fn start_deployment(
        &self,
        who: &Principal,
        job: &str,
        how: wire::StartDeployment,
    ) -> Answer<api::DeploymentView>;
    /// How that deployment stands.
    async fn get_deployment(
        &self,
        who: &Principal,
        job: &str,
        deployment: &str,
    ) -> Answer<api::DeploymentView>;
}
