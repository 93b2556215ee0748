//! Connections of clients that neither read nor go away.

use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};

/// How long what was sent may wait to be taken.
const PATIENCE: Duration = Duration::from_mins(2);

/// A listener whose connections send at once what there is to send, and are ended by the kernel when their client takes
/// nothing for two minutes: whoever pulls an image and stalls must not hold what serves it (tcp(7), `TCP_USER_TIMEOUT`:
/// a window that stays shut counts).
pub(crate) fn patient(listener: TcpListener) -> impl Listener<Io = TcpStream, Addr = std::net::SocketAddr> {
    listener.tap_io(|stream| mind(stream, PATIENCE))
}

fn mind(stream: &TcpStream, patience: Duration) {
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection waits for more to send");
    }
    if let Err(error) = setsockopt(stream, sockopt::TcpUserTimeout, &millis) {
        tracing::debug!(%error, "a connection has no bound on how long its client may stall");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        mind(&stream, Duration::from_millis(500));
        let chunk = vec![0u8; 1 << 20];
        // Without the bound this would never end.
        let sending = async { while stream.write_all(&chunk).await.is_ok() {} };
        let ended = tokio::time::timeout(Duration::from_mins(2), sending).await;
        assert!(ended.is_ok(), "the connection was never ended");
        drop(client);
    }
}
