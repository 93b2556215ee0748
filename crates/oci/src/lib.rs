//! Images: the blobs they are made of, the manifests that name the blobs, the registry that serves both
//! (OCI distribution specification 1.1), the builder that assembles an image from files, and the unpacker
//! that lays its layers out for a sandbox.
//!
//! Not here: running an image (`runtime`), deciding who may push (`identity`, through the [`Access`] port),
//! and Dockerfiles (`dockerfile`, `build`).

mod access;
mod archive;
mod assemble;
mod blob;
mod bounded;
mod collect;
mod hashing;
mod keeping;
mod layer_list;
mod links;
mod manifest;
mod mirror;
mod name;
mod registry;
mod remote;
mod repository;
mod routes;
mod rule;
mod scrub;
mod token;
mod unpack;
mod user;

pub use access::{Access, Action, Credential, Grant, RegistryToken};
pub use archive::{FULL_NAME, REF_NAME, SavedImage, layer_type};
pub use assemble::{AssembleError, AssembleSpec, Assembled, Assembler, BASE_LABEL, Base, MACHINE_BASE};
pub use blob::{
    Blob, BlobError, BlobStore, ByteStream, FileBlobs, ObjectBlobs, ObjectConfig, StoredBlob, UploadId,
    one_chunk,
};
pub use collect::{CollectError, Collected, Collection, Root, Taken};
pub use hashing::digest_of;
pub use layer_list::{ListLimits, Listed, Listing};
pub use manifest::{
    ContainerConfig, Descriptor, History, ImageConfig, ImageIndex, ImageManifest, LARGEST_MANIFEST, Manifest,
    ManifestError, MediaType, Platform, RootFs,
};
pub use mirror::{MIRROR, Mirror, UpstreamError};
pub use name::{ImageName, NameError, Reference, RepositoryName, Tag};
pub use registry::{Pushed, Registry, RegistryError, StoredManifest, machine_architecture};
pub use remote::{Keyring, Login, Pull, PullError, Puller, PushedBlob, Resolved};
pub use repository::{BlobLink, Contents, Index, ManifestRecord, Removal, StoreIndex, TagRecord};
pub use routes::{RouteLimits, router, router_with};
pub use rule::{Pattern, RegistryRule, RuleKind};
pub use scrub::{Missing, Rotten, Scrubbed};
pub use token::{Claims, TokenSealer};
pub use unpack::{LayOut, UnpackError, UnpackLimits, Unpacked, Unpacker, WhiteoutStyle, lay_out};
pub use user::ImageUser;
