//! The hidden helper that gives git the local token (git's `gitcredentials`, the helper protocol).

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::connection::Global;
use crate::failure::Exit;
use crate::show;

/// Gives git the token of this machine's Windlass
#[derive(Args, Clone, Debug)]
pub(crate) struct Credential {
    /// What git asks: `get`; it also says `store` and `erase`
    action: String,
}

/// Answers git. Silence means that there is nothing to tell.
pub(crate) fn run(global: &Global, command: Credential) -> Result<Exit> {
    if command.action != "get" {
        return Ok(Exit::Done);
    }
    let mut asked = String::new();
    std::io::stdin().lock().take(1 << 16).read_to_string(&mut asked).context("git's question is not text")?;
    let data = global.existing_data()?;
    let endpoint = data.endpoint()?;
    if !meant(&asked, &endpoint.url) {
        return Ok(Exit::Done);
    }
    show::print(&format!("username=admin\npassword={}", data.local_token()?))?;
    Ok(Exit::Done)
}

/// Whether git asks for this very address: the token goes nowhere else.
fn meant(asked: &str, url: &str) -> bool {
    let fields: BTreeMap<&str, &str> = asked.lines().filter_map(|l| l.split_once('=')).collect();
    match (fields.get("protocol"), fields.get("host")) {
        (Some(protocol), Some(host)) => format!("{protocol}://{host}") == url,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_one_address() {
        let url = "http://127.0.0.1:7700";
        assert!(meant("protocol=http\nhost=127.0.0.1:7700\npath=tasks.git\n", url));
        for asked in [
            "",
            "protocol=http\n",
            "protocol=https\nhost=127.0.0.1:7700\n",
            "protocol=http\nhost=evil.example\n",
        ] {
            assert!(!meant(asked, url), "{asked}");
        }
    }
}
