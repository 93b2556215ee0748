//! The gateway as control sees it: a port, so that tests can stand in for the process behind the socket.

use async_trait::async_trait;
use windlass_gateway::{AdminClient, AdminError, BackendLoad, RouteTable};

/// What control asks of the gateway.
#[async_trait]
pub(crate) trait Gateway: Send + Sync + std::fmt::Debug {
    /// Puts a table in force. Once this returns, no new request reaches an instance that is not in it.
    async fn put_table(&self, table: &RouteTable) -> Result<(), AdminError>;
    /// The table in force.
    async fn table(&self) -> Result<RouteTable, AdminError>;
    /// What is in flight, by instance.
    async fn loads(&self) -> Result<Vec<BackendLoad>, AdminError>;
    /// Its metrics, in the Prometheus text format.
    async fn metrics(&self) -> Result<String, AdminError>;
    /// Its process id.
    async fn pid(&self) -> Result<u32, AdminError>;
}

#[async_trait]
impl Gateway for AdminClient {
    async fn put_table(&self, table: &RouteTable) -> Result<(), AdminError> {
        self.put_table(table).await
    }

    async fn table(&self) -> Result<RouteTable, AdminError> {
        self.table().await
    }

    async fn loads(&self) -> Result<Vec<BackendLoad>, AdminError> {
        self.loads().await
    }

    async fn metrics(&self) -> Result<String, AdminError> {
        self.metrics().await
    }

    async fn pid(&self) -> Result<u32, AdminError> {
        self.pid().await
    }
}
