//! Images: the blobs they are made of, the manifests that name the blobs, the registry that serves both
//! (OCI distribution specification 1.1), the builder that assembles an image from files, and the unpacker
//! that lays its layers out for a sandbox.
//!
//! Not here: running an image (`runtime`), deciding who may push (`identity`, through the [`Access`] port),
//! and Dockerfiles, which come later.

mod access;
mod assemble;
mod blob;
mod hashing;
mod manifest;
mod name;
mod registry;
mod remote;
mod repository;
mod routes;
mod token;
mod unpack;

pub use access::{Access, Action, Credential, Grant, RegistryToken};
pub use assemble::{AssembleError, AssembleSpec, Assembled, Assembler, BASE_LABEL, Base, MACHINE_BASE};
pub use blob::{Blob, BlobError, BlobStore, ByteStream, FileBlobs, UploadId, one_chunk};
pub use manifest::{
    ContainerConfig, Descriptor, History, ImageConfig, ImageIndex, ImageManifest, LARGEST_MANIFEST, Manifest,
    ManifestError, MediaType, Platform, RootFs,
};
pub use name::{ImageName, NameError, Reference, RepositoryName, Tag};
pub use registry::{Pushed, Registry, RegistryError, StoredManifest};
pub use remote::{Login, Pull, PullError, Puller, PushedBlob, Resolved};
pub use repository::{BlobLink, Index, ManifestRecord, StoreIndex, TagRecord};
pub use routes::router;
pub use token::{Claims, TokenSealer};
pub use unpack::{LayOut, UnpackError, UnpackLimits, Unpacked, Unpacker, WhiteoutStyle, lay_out};
