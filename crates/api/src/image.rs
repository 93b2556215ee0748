//! Images looked at closely: their tags, packages, files layer by layer, what differs between two, where they run, and
//! what is lost with them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use windlass_kernel::Timestamp;

use crate::{AdvisoriesView, TakenView};

/// How many tags of a repository are told at a time.
pub const TAGS_AT_A_TIME: u64 = 100;
/// How many files, and how many entries of a layer's folder, are told at a time.
pub const FILES_AT_A_TIME: u64 = 200;

/// Some of a repository's tags, those that moved last first.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TagPage {
    /// The tags from the place asked for on; at most 100.
    pub tags: Vec<TagView>,
    /// The place of the first of them.
    pub from: u64,
    /// How many tags fit what was looked for.
    pub total: u64,
    /// How many tags the repository has.
    pub all: u64,
}

/// A tag.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TagView {
    /// Its name.
    pub tag: String,
    /// What it points to.
    pub digest: String,
    /// The media type of that.
    pub media_type: String,
    /// What kind of artifact it is, if it is no image.
    pub artifact_type: Option<String>,
    /// The size of all that it names.
    pub size: u64,
    /// When the tag was moved last.
    #[schema(value_type = i64)]
    pub moved_at: Timestamp,
    /// Who pushed what it points to.
    pub pushed_by: String,
    /// The name of the rule that forbids to move or delete it.
    pub immutable_by: Option<String>,
    /// Where it runs, such as `production`.
    pub runs_in: Vec<String>,
}

/// A place where an image runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageRunsView {
    /// The environment.
    pub environment: String,
    /// The service.
    pub service: String,
    /// Since when its release is live there.
    #[schema(value_type = i64)]
    pub since: Timestamp,
    /// The release's number.
    pub release: u64,
    /// Its title.
    pub title: String,
}

/// The run that pushed an image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageOriginView {
    /// The run.
    pub run: String,
    /// The workflow's name.
    pub workflow: String,
    /// The run's number.
    pub number: u64,
    /// The ref.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// The run's title.
    pub title: String,
    /// Who started it.
    pub actor: String,
}

/// The packages of an image.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PackageList {
    /// The image's digest.
    pub digest: String,
    /// The distribution that it holds.
    pub os: Option<String>,
    /// The packages, by kind and name.
    pub packages: Vec<PackageView>,
    /// What in it could not be looked into.
    pub notes: Vec<String>,
}

/// A package.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PackageView {
    /// Its kind, such as `deb` or `pypi`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licences, as it names them.
    pub licences: Vec<String>,
    /// The place of the layer that brought it, from the bottom, the first being 0.
    pub layer: u64,
    /// The file that says so.
    pub path: String,
    /// Its package URL.
    pub purl: String,
}

/// A folder of a layer's files, and what the layer does with them.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LayerTree {
    /// The layer's digest.
    pub digest: String,
    /// Its place from the bottom, the first being 0.
    pub place: u64,
    /// How many layers the image has.
    pub layers: u64,
    /// The instruction that made it.
    pub created_by: String,
    /// Its size as it is stored.
    pub stored: u64,
    /// What the whole layer does.
    pub totals: TreeTotals,
    /// The folder whose entries are told; empty for the root.
    pub folder: String,
    /// Entries in the order of a tree; a folder that is told in full is followed by what is in it.
    pub rows: Vec<TreeRow>,
    /// The place of the first of the folder's own entries.
    pub from: u64,
    /// How many entries the folder itself has.
    pub total: u64,
    /// Why not all of it is told.
    pub problem: Option<String>,
}

/// What a layer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreeTotals {
    /// Files and links that are new.
    pub added: u64,
    /// Those that stood below and are other ones now.
    pub changed: u64,
    /// Those that are gone.
    pub removed: u64,
    /// Those that stood below just so, and take their place once more.
    pub repeated: u64,
    /// The bytes of files that are new or other ones.
    pub added_size: u64,
    /// The bytes of files that stood below and are hidden, changed or removed: they are in the image all the same.
    pub hidden_size: u64,
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TreeRow {
    /// How deep it lies below the folder that was asked for.
    pub depth: u32,
    /// Its name; several where a folder holds nothing but the next.
    pub name: String,
    /// Its whole path.
    pub path: String,
    /// `file`, `folder`, `link`, `hard link`, `device` or `pipe`.
    pub kind: String,
    /// `added`, `changed`, `removed` or `repeated`; empty for a folder in which only others are.
    pub change: String,
    /// Its size, for a folder that of all in it.
    pub size: u64,
    /// What its size was below this layer.
    pub before: Option<u64>,
    /// Its permissions.
    pub mode: u32,
    /// Where a link leads.
    pub target: Option<String>,
    /// How many files and links are in it, of a folder.
    pub entries: u64,
    /// Whether what is in it follows.
    pub open: bool,
}

/// What differs between the files of two images.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct FilesDiff {
    /// How many the other has beyond.
    pub added: u64,
    /// How many are other ones.
    pub changed: u64,
    /// How many it does not have any more.
    pub removed: u64,
    /// The bytes by which it is larger; less than 0 if it is smaller.
    pub growth: i64,
    /// Some of them, by path.
    pub files: Vec<FileChange>,
    /// The place of the first of them.
    pub from: u64,
    /// Why not all of it is told.
    pub problem: Option<String>,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// What is another one of it, such as `contents` or `0644 → 0755`.
    pub what: Vec<String>,
    /// Its size in the one.
    pub before: Option<u64>,
    /// Its size in the other.
    pub after: Option<u64>,
}

/// What would be lost by a deletion, or was.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeletionView {
    /// The repository.
    pub repository: String,
    /// The tag, if only that goes.
    pub tag: Option<String>,
    /// What it points to, or the image that goes.
    pub digest: String,
    /// The tags that go.
    pub tags: Vec<String>,
    /// How many statements and other artifacts say something about it, and are left to the next collection.
    pub referrers: u64,
    /// The bytes that the next collection frees; none where that is too much to find out.
    pub freed: Option<u64>,
    /// Whether no tag would reach the image any more.
    pub last: bool,
    /// Why it cannot be deleted.
    pub refused: Option<String>,
}

/// How the registry is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RegistryState {
    /// The free bytes of the disk that holds the data.
    pub disk_free: u64,
    /// The size of that disk.
    pub disk_total: u64,
    /// Whether it fills: a collection is started by itself then.
    pub disk_fills: bool,
    /// Whether a collection or a scrub goes on.
    pub busy: bool,
    /// The last collections and scrubs, newest first.
    pub care: Vec<CareView>,
    /// The advisories that packages are compared with.
    pub advisories: Vec<AdvisoriesView>,
    /// After how many days advisories do not count any more.
    pub advisories_days: u64,
}

/// A collection or a scrub that was done.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CareView {
    /// `registry.collected`, `registry.disk_pressure` or `registry.scrubbed`.
    pub kind: String,
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Of a collection: the bytes that became free.
    pub freed: u64,
    /// How many things went, or how many blobs were read.
    pub things: u64,
    /// Of a scrub: the blobs whose bytes were wrong.
    pub rotten: Vec<crate::RottenView>,
}

/// What goes at a collection, by its reason: for an overview of a long list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenGroup {
    /// The reason.
    pub why: String,
    /// How many things.
    pub things: u64,
    /// The bytes that become free with them.
    pub size: u64,
}

impl TakenGroup {
    /// Groups what goes, the largest first.
    pub fn of(taken: &[TakenView]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for thing in taken {
            match groups.iter_mut().find(|group| group.why == thing.why) {
                Some(group) => {
                    group.things += 1;
                    group.size += thing.size;
                }
                None => groups.push(Self { why: thing.why.clone(), things: 1, size: thing.size }),
            }
        }
        groups.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| b.things.cmp(&a.things)));
        groups
    }
}
