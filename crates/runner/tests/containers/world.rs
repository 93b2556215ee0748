//! What the tests run their jobs in.

use windlass_api::Conclusion::Failure;
use windlass_runtime::{Level, Linux, Runtime as _, RuntimeConfig};

use crate::fixture::{Fixture, Ran, exe, job};
use crate::images::{Image, Served};

/// A registry with the image `own/box:1`, and a folder for what is fetched from it.
pub(crate) struct World {
    pub(crate) served: Served,
    pub(crate) image: Image,
    pub(crate) name: String,
    pub(crate) images: tempfile::TempDir,
    pub(crate) level: Option<Level>,
}

impl World {
    /// None: this machine cannot, and that was said.
    pub(crate) async fn new(test: &str) -> Option<Self> {
        // All of these tests can be run at another level: WINDLASS_SANDBOX names it.
        let level = std::env::var("WINDLASS_SANDBOX").ok().and_then(|level| level.parse().ok());
        let scratch = tempfile::tempdir().unwrap();
        let config = RuntimeConfig { exe: exe(), scratch_root: scratch.path().to_owned(), level };
        let found = Linux::open(config).await;
        if !found.is_ok_and(|found| found.capabilities().level != Level::Process) {
            windlass_testkit::skip(test, "this machine gives no sandbox with namespaces");
            return None;
        }
        let Some(image) = Image::of_busybox() else {
            windlass_testkit::skip(test, "there is no busybox to make an image of");
            return None;
        };
        let served = Served::start().await;
        let name = served.put("own/box:1", &image).await;
        Some(Self { served, image, name, images: tempfile::tempdir().unwrap(), level })
    }

    /// A job, in whose text `BOX` is the image.
    pub(crate) fn job(&self, body: &str) -> Fixture {
        let mut fixture = job(&body.replace("BOX", &self.name));
        fixture.level = self.level;
        fixture.settings.containers.images = Some(self.images.path().to_owned());
        fixture.assignment.registry.clone_from(&self.served.host);
        fixture
    }

    pub(crate) async fn run(&self, body: &str) -> Ran {
        self.job(body).run().await
    }

    #[track_caller]
    pub(crate) fn fails(ran: &Ran, why: &str) {
        assert_eq!(ran.conclusion, Some(Failure), "{}", ran.log);
        let reason = ran.reason.clone().unwrap_or_default();
        assert!(reason.contains(why), "`{why}` is not in: {reason}");
        assert!(!ran.log.lines().any(|line| line == "never"), "{}", ran.log);
    }
}
