//! `windlass key`: the key that signs statements about images.

use anyhow::Result;
use clap::Subcommand;
use windlass_api::StatementKey;

use crate::connection::Global;
use crate::failure::Exit;
use crate::show;

/// The key that signs statements about images
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Key {
    /// Let a new key sign; what the one before signed stays good
    #[command(after_help = "Example:\n  windlass key rotate")]
    Rotate,
}

/// Carries a key command out.
pub(crate) async fn run(global: &Global, command: Key) -> Result<Exit> {
    match command {
        Key::Rotate => {
            let nothing = serde_json::json!({});
            let keys: Vec<StatementKey> = global.client()?.post("/api/v1/evidence/keys", &nothing).await?;
            if global.json {
                show::json(&keys)?;
            } else if let Some(newest) = keys.first() {
                show::print(&format!("the key {} signs from now on:", newest.id))?;
                show::print(newest.pem.trim_end())?;
            }
            Ok(Exit::Done)
        }
    }
}
