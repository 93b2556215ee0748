//! What every handler needs: the platform, the runners' side of it, and the time.

use std::sync::Arc;

use windlass_kernel::Clock;

use crate::{Platform, RunnerPlatform};

/// The state of all routers of this crate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    /// The calls that people and programs make.
    pub(crate) platform: Arc<dyn Platform>,
    /// The calls that runners and job units make.
    pub(crate) runner: Arc<dyn RunnerPlatform>,
    /// The present, for "3 minutes ago".
    pub(crate) clock: Arc<dyn Clock>,
}
