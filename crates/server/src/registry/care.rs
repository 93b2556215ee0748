//! Collections, asked for or brought about by a disk that fills; and scrubs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use windlass_api as api;
use windlass_api::Problem;
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{Actor, Batch, NewEvent, Timestamp};
use windlass_oci::{BlobError, CollectError, Collected, Collection, Missing, Rotten};

use crate::context::{Context, internal, may, stored};

type Answer<T> = Result<T, Problem>;

/// What was touched within this time stays.
const GRACE: Duration = Duration::from_hours(1);
/// How much is told of what went.
const MOST_TOLD: usize = 1_000;
/// A disk with less free than this many of a hundred parts, and less than [`AMPLE`], fills.
const SCARCE_PERCENT: u64 = 10;
/// So many bytes are enough, however large the disk is.
const AMPLE: u64 = 20 << 30;
/// How often a disk that fills starts a collection.
const PAUSE: Duration = Duration::from_hours(1);

impl Context {
    pub(crate) async fn collect_registry(
        &self,
        who: &Principal,
        how: api::CollectRegistry,
    ) -> Answer<api::CollectedView> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        let grace = how.grace_seconds.map_or(GRACE, Duration::from_secs);
        let report = self.collect_garbage(how.dry_run, grace, &who.actor).await?;
        if !how.dry_run {
            let data = json!({ "freed": report.freed, "things": report.taken.len() });
            let event =
                NewEvent::new(self.now(), who.actor.clone(), "registry.collected", "registry").data(data);
            self.commit(Batch::new().event(event)).await.map_err(stored)?;
        }
        Ok(collected_view(report, how.dry_run))
    }

    async fn collect_garbage(&self, dry_run: bool, grace: Duration, by: &Actor) -> Answer<Collected> {
        let Ok(_alone) = self.images.caring.try_lock() else {
            return Err(Problem::conflict("a collection or a scrub goes on already: wait for its end"));
        };
        let roots = self.needed_images().await.map_err(stored)?;
        let others = self.named_archives().await.map_err(stored)?.into_iter().collect();
        let how = Collection { grace, dry_run, roots, others, by: by.clone() };
        self.images.registry.collect(&how).await.map_err(|error| match error {
            CollectError::Store(error) => stored(error),
            CollectError::Blob(error) => blob_problem("the collection stopped", &error),
        })
    }

    pub(crate) async fn scrub_registry(&self, who: &Principal) -> Answer<api::ScrubView> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        let Ok(_alone) = self.images.caring.try_lock() else {
            return Err(Problem::conflict("a collection or a scrub goes on already: wait for its end"));
        };
        let found = self.images.registry.scrub().await.map_err(|e| blob_problem("the scrub stopped", &e))?;
        let rotten = found.rotten.iter().map(rotten_view);
        let rotten: Vec<api::RottenView> = rotten.chain(found.missing.iter().map(missing_view)).collect();
        let missing = found.missing_total as u64;
        let data =
            json!({ "checked": found.checked, "size": found.size, "rotten": rotten, "missing": missing });
        let event = NewEvent::new(self.now(), who.actor.clone(), "registry.scrubbed", "registry").data(data);
        self.commit(Batch::new().event(event)).await.map_err(stored)?;
        Ok(api::ScrubView { checked: found.checked as u64, size: found.size, rotten, missing })
    }

    /// Collects garbage when the disk fills, and says so in the ledger.
    async fn relieve(&self, free: u64, total: u64) -> Answer<()> {
        tracing::warn!(free, total, "the disk fills: the registry's garbage is collected");
        let report = self.collect_garbage(false, GRACE, &Actor::System).await?;
        let data =
            json!({ "free": free, "total": total, "freed": report.freed, "things": report.taken.len() });
        let event = NewEvent::new(self.now(), Actor::System, "registry.disk_pressure", "registry").data(data);
        self.commit(Batch::new().event(event)).await.map_err(stored)?;
        Ok(())
    }
}

fn blob_problem(what: &str, error: &BlobError) -> Problem {
    match error {
        BlobError::Remote { .. } => Problem::new(api::ErrorCode::Internal, format!("{what}: {error}")),
        _ => internal(what, error),
    }
}

fn rotten_view(rotten: &Rotten) -> api::RottenView {
    api::RottenView {
        digest: rotten.digest.to_string(),
        repositories: rotten.repositories.iter().map(ToString::to_string).collect(),
        healed: rotten.healed.as_ref().map(ToString::to_string),
        needed_by: Vec::new(),
    }
}

fn missing_view(missing: &Missing) -> api::RottenView {
    api::RottenView {
        digest: missing.digest.to_string(),
        repositories: missing.repositories.iter().map(ToString::to_string).collect(),
        healed: missing.healed.as_ref().map(ToString::to_string),
        needed_by: missing.needed_by.clone(),
    }
}

fn collected_view(report: Collected, dry_run: bool) -> api::CollectedView {
    let total = report.taken.len() as u64;
    let taken = report.taken.into_iter().take(MOST_TOLD);
    api::CollectedView {
        dry_run,
        taken: taken.map(|t| api::TakenView { what: t.what, why: t.why, size: t.size }).collect(),
        total,
        freed: report.freed,
        kept: report.kept as u64,
        kept_size: report.kept_size,
        unreadable: report.unreadable,
    }
}

/// Whether a disk fills.
pub(super) fn scarce(free: u64, total: u64) -> bool {
    free < AMPLE && free < total / 100 * SCARCE_PERCENT
}

/// The free and all bytes of the disk of the data directory.
pub(super) fn disk(ctx: &Context) -> Option<(u64, u64)> {
    let disk = nix::sys::statvfs::statvfs(ctx.data.root()).ok()?;
    Some((disk.blocks_available() * disk.fragment_size(), disk.blocks() * disk.fragment_size()))
}

/// Asked every minute: whether the disk of the data directory fills, and garbage should be collected.
pub(crate) async fn mind_the_disk(ctx: &Context, last: &AtomicI64) {
    let Some((free, total)) = disk(ctx) else { return };
    let before = Timestamp::from_millis(last.load(Ordering::Relaxed));
    if !scarce(free, total) || ctx.now().since(before) < PAUSE {
        return;
    }
    last.store(ctx.now().as_millis(), Ordering::Relaxed);
    if let Err(problem) = ctx.relieve(free, total).await {
        tracing::warn!(%problem, "garbage could not be collected although the disk fills");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_fills_when_little_is_free_of_it_and_at_all() {
        const GB: u64 = 1 << 30;
        for (free, total, fills) in [
            (50 * GB, 100 * GB, false),
            (9 * GB, 100 * GB, true),
            (11 * GB, 100 * GB, false),
            (30 * GB, 1000 * GB, false),
            (15 * GB, 1000 * GB, true),
            (0, 10 * GB, true),
        ] {
            assert_eq!(scarce(free, total), fills, "{free} of {total}");
        }
    }
}
