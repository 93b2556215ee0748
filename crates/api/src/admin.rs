use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use windlass_kernel::{Secret, Timestamp};

/// What the platform is doing.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Windlass' version.
    pub version: String,
    /// When control started.
    #[schema(value_type = i64)]
    pub started_at: Timestamp,
    /// Where the pages, the API, Git and the registry are served, such as `http://127.0.0.1:7700`.
    pub url: String,
    /// Where services are served, such as `http://127.0.0.1:7780`.
    pub gateway_url: String,
    /// The roles and whether they answer.
    pub roles: Vec<RoleStatus>,
    /// Number of projects.
    pub projects: u64,
    /// Runs that are not finished.
    pub active_runs: u64,
    /// Deployments that are not finished.
    pub active_deployments: u64,
    /// Instances that run.
    pub instances: u64,
    /// The sandbox level in force, in words.
    pub sandbox: String,
    /// The last ledger entry's number.
    pub ledger_seq: u64,
    /// True until an administrator exists.
    pub needs_setup: bool,
}

/// One role's process.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RoleStatus {
    /// `control`, `gateway` or `runner NAME`.
    pub name: String,
    /// Whether it answered just now.
    pub healthy: bool,
    /// Its process id, on this machine.
    pub pid: Option<u32>,
    /// What is wrong, or anything worth saying.
    pub note: String,
}

/// An entry of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// By whom: `system`, `user:NAME`, `run:ID`, `runner:NAME`.
    pub actor: String,
    /// What: `noun.verb`.
    pub kind: String,
    /// The project, if it belongs to one.
    pub project: Option<String>,
    /// What it is about.
    pub subject: String,
    /// The particulars.
    #[schema(value_type = Object)]
    pub data: Value,
    /// The chain's hash at this entry.
    pub hash: String,
}

/// The outcome of checking the ledger's chain.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditReport {
    /// Entries checked.
    pub entries: u64,
    /// Whether the chain holds from the first entry to the last.
    pub intact: bool,
    /// Where and how it is broken, if it is.
    pub problem: Option<String>,
    /// The last entry's hash.
    pub head: String,
}

/// A secret or variable, without its value when it is a secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its name.
    pub name: String,
    /// The environment that it belongs to; none: the whole project.
    pub environment: Option<String>,
    /// A variable's value; never set for a secret.
    pub value: Option<String>,
    /// Its version, from 1.
    pub version: u64,
    /// When this version was set.
    #[schema(value_type = i64)]
    pub updated_at: Timestamp,
    /// By whom.
    pub updated_by: String,
}

/// Sets a secret or a variable.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SetSetting {
    /// The environment that it belongs to; none: the whole project.
    pub environment: Option<String>,
    /// The value, at most 48 KB.
    #[schema(value_type = String)]
    pub value: Secret<String>,
}

/// An API token, without its secret part.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub label: String,
    /// Whose it is.
    pub user: String,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
}

/// Asks for an API token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateToken {
    /// What it is for.
    pub label: String,
}

/// A new API token: the only time its secret is told.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    /// The token's particulars.
    pub token: TokenView,
    /// The token itself: a bearer token for the API, the password for Git and the registry.
    #[schema(value_type = String)]
    pub secret: Secret<String>,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UserView {
    /// Its name.
    pub name: String,
    /// `admin`, `member`, `contributor` or `viewer`.
    pub role: String,
    /// When it was made.
    #[schema(value_type = i64)]
    pub created_at: Timestamp,
}

/// Makes an account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreateUser {
    /// Its name: lower-case letters, digits, hyphens.
    pub name: String,
    /// `admin`, `member`, `contributor` or `viewer`.
    pub role: String,
    /// At least 10 characters.
    #[schema(value_type = String)]
    pub password: Secret<String>,
}

/// Who the caller is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// As in the ledger: `user:NAME`, …
    pub actor: String,
    /// `admin`, `member`, `contributor`, `viewer`, or `job`.
    pub role: String,
}
