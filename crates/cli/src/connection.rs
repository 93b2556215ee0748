//! Where Windlass answers, and as whom the command line speaks to it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use windlass_api::Client;
use windlass_kernel::Secret;
use windlass_server::DataDir;

use crate::failure::{Exit, Failure};

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// The data directory [default: $WINDLASS_DATA, else /var/lib/windlass for root, else ~/.local/share/windlass]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(crate) data: Option<PathBuf>,
    /// A Windlass elsewhere, such as http://127.0.0.1:7700; its token is taken from $WINDLASS_TOKEN
    #[arg(long, global = true, value_name = "URL", env = "WINDLASS_URL", help_heading = "Everywhere")]
    pub(crate) url: Option<String>,
    /// Answer in JSON, for programs
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
}

impl Global {
    /// The data directory that is meant.
    pub(crate) fn data_path(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(DataDir::default_path)
    }

    /// The data directory, if there is one; it is not made here.
    pub(crate) fn existing_data(&self) -> Result<DataDir> {
        let path = self.data_path();
        if !path.join("run").is_dir() {
            return Err(nothing_runs(&path).into());
        }
        DataDir::open(&path)
    }

    /// A client of the platform that is meant, with a token.
    pub(crate) fn client(&self) -> Result<Client> {
        let given = std::env::var("WINDLASS_TOKEN").ok().filter(|t| !t.is_empty()).map(Secret::new);
        let url = self.url.as_deref().map(|u| u.trim_end_matches('/').to_owned());
        if let (Some(url), Some(token)) = (&url, &given) {
            return Ok(Client::new(url, Some(token.clone())));
        }
        let local = self.local();
        let (url, token) = match (url, local) {
            // The token of this machine goes to this machine's Windlass and nowhere else.
            (Some(url), Ok((here, token))) if here == url => (url, token),
            (Some(url), _) => {
                let message = format!(
                    "no token for {url}: make one with `windlass token create LABEL` there, and set WINDLASS_TOKEN"
                );
                return Err(Failure::new(Exit::Refused, message).into());
            }
            (None, Ok((here, token))) => (here, given.unwrap_or(token)),
            (None, Err(why)) => return Err(why),
        };
        Ok(Client::new(&url, Some(token)))
    }

    /// The registry of the Windlass that runs on this machine, as images name it, and the token for it; if one runs that
    /// this user owns.
    pub(crate) fn own_registry(&self) -> Option<(String, Secret<String>)> {
        let (url, token) = self.local().ok()?;
        let host = url.strip_prefix("http://")?.trim_end_matches('/').to_owned();
        Some((host, token))
    }

    fn local(&self) -> Result<(String, Secret<String>)> {
        let data = self.existing_data()?;
        let endpoint = data.endpoint().map_err(|e| Failure::new(Exit::Unreachable, format!("{e:#}")))?;
        if !data.owned() {
            return Err(nothing_runs(data.root()).into());
        }
        let token = data.local_token().map_err(|e| Failure::new(Exit::Refused, format!("{e:#}")))?;
        Ok((endpoint.url, Secret::new(token)))
    }
}

/// Nothing runs there.
pub(crate) fn nothing_runs(data: &Path) -> Failure {
    let shown = data.display();
    let message = format!(
        "no Windlass runs on {shown}: start one with `windlass up --data {shown}`, or name another with --data or --url"
    );
    Failure::new(Exit::Unreachable, message)
}

/// A part of a path or query, with what is not plain percent-encoded (RFC 3986, section 2.1).
pub(crate) fn part(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_address_cannot_leave_their_place() {
        assert_eq!(part("tasks-1.x_~"), "tasks-1.x_~");
        assert_eq!(part("../a b?c#é"), "..%2Fa%20b%3Fc%23%C3%A9");
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_and_not_made() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("none");
        let global = Global { data: Some(path.clone()), ..Global::default() };
        let error = global.client().unwrap_err();
        assert_eq!(crate::failure::exit_of(&error), Exit::Unreachable);
        assert!(error.to_string().contains("windlass up"), "{error}");
        assert!(!path.exists());
    }
}
