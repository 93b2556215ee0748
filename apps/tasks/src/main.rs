//! The server: reads the environment, opens the database, serves until it is told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasks::{Store, event};
use tokio::signal::unix::{SignalKind, signal};

/// How long requests in flight may take once the server was told to stop.
const PATIENCE: Duration = Duration::from_secs(20);

struct Settings {
    address: SocketAddr,
    database: String,
}

fn main() -> ExitCode {
    tasks::log_to_stdout();
    let result = settings().and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        runtime.map_err(|e| format!("the runtime cannot be started: {e}"))?.block_on(serve(settings))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            event("error", &why, json!({}));
            ExitCode::FAILURE
        }
    }
}

fn settings() -> Result<Settings, String> {
    let variable = |name: &str, default: &str| match std::env::var(name) {
        Ok(value) => Ok(value),
        Err(std::env::VarError::NotPresent) => Ok(default.to_owned()),
        Err(e) => Err(format!("{name} cannot be read: {e}")),
    };
    let port = variable("PORT", "8080")?;
    let port = port.parse().map_err(|_| format!("PORT is `{port}`; it must be a number from 0 to 65535"))?;
    let host = variable("HOST", &Ipv4Addr::LOCALHOST.to_string())?;
    let host: IpAddr = host.parse().map_err(|_| format!("HOST is `{host}`; it must be an IP address"))?;
    Ok(Settings { address: (host, port).into(), database: variable("DATABASE_PATH", "tasks.db")? })
}

async fn serve(settings: Settings) -> Result<(), String> {
    let database = &settings.database;
    let store = Store::open(database.as_ref())
        .map_err(|e| format!("the database {database} cannot be opened: {e}"))?;
    let address = settings.address;
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    event("info", "listening", json!({ "address": address.to_string(), "database": database }));

    let stop = async move {
        std::future::poll_fn(|context| {
            if terminate.poll_recv(context).is_ready() {
                std::task::Poll::Ready(())
            } else {
                interrupt.poll_recv(context).map(|_| ())
            }
        })
        .await;
        event("info", "stopping: requests in flight are finished first", json!({}));
        tokio::spawn(async {
            tokio::time::sleep(PATIENCE).await;
            event("error", "requests were still in flight; giving them up", json!({}));
            std::process::exit(1);
        });
    };
    let served = axum::serve(listener, tasks::router(Arc::new(store))).with_graceful_shutdown(stop).await;
    served.map_err(|e| format!("serving failed: {e}"))?;
    event("info", "stopped", json!({}));
    Ok(())
}
