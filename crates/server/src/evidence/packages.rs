//! The packages of an image, one by one.

use windlass_api as api;
use windlass_identity::Principal;
use windlass_web::Answer;

use crate::context::Context;

/// How many packages are told.
const MOST: usize = 50_000;

impl Context {
    /// The packages of an image.
    pub(crate) async fn image_packages(&self, who: &Principal, image: &str) -> Answer<api::PackageList> {
        let (repository, digest) = self.image_named(who, image).await?;
        let contents = self.looked(&repository, &digest).await?.contents;
        let os = contents.os.as_ref();
        let packages = contents.packages.iter().take(MOST).map(|package| api::PackageView {
            kind: package.kind.word().to_owned(),
            name: package.name.clone(),
            version: package.version.clone(),
            licences: package.licences.clone(),
            layer: package.layer as u64,
            path: package.path.clone(),
            purl: package.purl(os),
        });
        Ok(api::PackageList {
            digest: digest.to_string(),
            os: os.map(|os| os.name.clone()),
            packages: packages.collect(),
            notes: contents.notes.clone(),
        })
    }
}
