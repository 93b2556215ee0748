//! `windlass token` and `windlass user`.

use anyhow::Result;
use clap::{Args, Subcommand};
use windlass_api::{CreateToken, CreateUser, CreatedToken, TokenView, UserView};
use windlass_kernel::Secret;

use crate::ask;
use crate::connection::{Global, part};
use crate::failure::Exit;
use crate::show::{self, Field};

/// API tokens: also the password for Git and the registry
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token; it is shown this once
    #[command(after_help = "Example:\n  windlass token create laptop")]
    Create {
        /// What it is for
        label: String,
    },
    /// Your tokens
    #[command(after_help = "Example:\n  windlass token list")]
    List,
    /// Withdraw a token
    #[command(after_help = "Example:\n  windlass token revoke ID")]
    Revoke {
        /// Its id, as `windlass token list` shows it
        id: String,
    },
}

/// Accounts
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum User {
    /// Make an account; its password is asked for, or read from standard input
    #[command(after_help = "Example:\n  windlass user create ana --role member")]
    Create(Create),
    /// All accounts
    #[command(after_help = "Example:\n  windlass user list")]
    List,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Create {
    /// Its name: lower-case letters, digits, hyphens
    name: String,
    /// What it may do
    #[arg(long, default_value = "member", value_parser = ["admin", "member", "contributor", "viewer"])]
    role: String,
}

/// Carries a token command out.
pub(crate) async fn token(global: &Global, command: Token) -> Result<Exit> {
    let client = global.client()?;
    match command {
        Token::Create { label } => {
            let made: CreatedToken = client.post("/api/v1/tokens", &CreateToken { label }).await?;
            if global.json {
                show::json(&made)?;
            } else {
                // The token alone on standard output, so that it can be kept without being looked at.
                eprintln!("token {} of {}; it is shown this once:", made.token.id, made.token.user);
                show::print(made.secret.expose())?;
            }
        }
        Token::List => {
            let list: Vec<TokenView> = client.get("/api/v1/tokens").await?;
            if global.json {
                show::json(&list)?;
                return Ok(Exit::Done);
            }
            let rows = list
                .into_iter()
                .map(|t| [t.id.into(), t.label.into(), t.user.into(), Field::dim(show::ago(t.created_at))]);
            show::table(
                ["id", "for", "user", "made"],
                rows.collect(),
                "no token yet: windlass token create LABEL",
            )?;
        }
        Token::Revoke { id } => {
            client.delete(&format!("/api/v1/tokens/{}", part(&id))).await?;
            if global.json {
                show::json(&serde_json::json!({"revoked": id}))?;
            } else {
                show::print(&format!("token {id} is withdrawn"))?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Carries an account command out.
pub(crate) async fn user(global: &Global, command: User) -> Result<Exit> {
    let client = global.client()?;
    match command {
        User::Create(Create { name, role }) => {
            let password = Secret::new(
                ask::hidden(&format!("Password for {name} (at least 10 characters, not shown): ")).await?,
            );
            let user: UserView = client.post("/api/v1/users", &CreateUser { name, role, password }).await?;
            if global.json {
                show::json(&user)?;
            } else {
                show::print(&format!(
                    "{} is a {} and can sign in on {}",
                    user.name,
                    user.role,
                    client.base()
                ))?;
            }
        }
        User::List => {
            let list: Vec<UserView> = client.get("/api/v1/users").await?;
            if global.json {
                show::json(&list)?;
                return Ok(Exit::Done);
            }
            let rows =
                list.into_iter().map(|u| [u.name.into(), u.role.into(), Field::dim(show::ago(u.created_at))]);
            show::table(
                ["name", "role", "made"],
                rows.collect(),
                "no account yet: `windlass up` shows the set-up link",
            )?;
        }
    }
    Ok(Exit::Done)
}
