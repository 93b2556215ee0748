//! The owner's way into a sandbox's own network: init there makes a socket and hands it over. Which network a socket belongs
//! to is settled when it is made, so its holder needs no power over the sandbox's namespaces.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Link;
use crate::RuntimeError;
use crate::wire::Request;

/// What init answers.
pub(super) enum Answer {
    Socket(Result<OwnedFd, String>),
    Listening(BTreeSet<u16>),
}

impl Link {
    pub(super) async fn socket(&self, v6: bool) -> Result<OwnedFd, RuntimeError> {
        match self.ask(|seq| Request::Socket { seq, v6 }).await? {
            Answer::Socket(made) => made.map_err(|why| {
                RuntimeError::io("making a socket in the sandbox's network", io::Error::other(why))
            }),
            Answer::Listening(_) => Err(RuntimeError::Ended),
        }
    }

    pub(super) async fn listening(&self) -> Result<BTreeSet<u16>, RuntimeError> {
        match self.ask(|seq| Request::Listening { seq }).await? {
            Answer::Listening(ports) => Ok(ports),
            Answer::Socket(_) => Err(RuntimeError::Ended),
        }
    }

    async fn ask(&self, request: impl FnOnce(u64) -> Request) -> Result<Answer, RuntimeError> {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, heard) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.ended {
                return Err(RuntimeError::Ended);
            }
            waiting.network.insert(seq, tell);
        }
        self.send(&request(seq), &[]).await.map_err(|_| RuntimeError::Ended)?;
        heard.await.map_err(|_| RuntimeError::Ended)
    }
}
