//! What is garbage: decided from facts alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use windlass_kernel::{Digest, Timestamp};

use super::Root;
use crate::{
    BlobLink, Contents, ManifestRecord, RegistryRule, RepositoryName, RuleKind, StoredBlob, TagRecord,
};

const DAY: Duration = Duration::from_hours(24);

/// What is there.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) now: Timestamp,
    pub(super) grace: Duration,
    pub(super) roots: Vec<Root>,
    pub(super) others: BTreeSet<Digest>,
    pub(super) blobs: Vec<StoredBlob>,
    pub(super) contents: Contents,
    /// What each manifest of `contents` names, in the same order; none if it cannot be read.
    pub(super) content: Vec<Option<Content>>,
    pub(super) rules: Vec<RegistryRule>,
}

/// What a manifest names.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) blobs: Vec<Digest>,
    pub(super) children: Vec<Digest>,
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What: `tag NAME:TAG`, `manifest NAME@DIGEST`, `blob DIGEST`.
    pub what: String,
    /// Why.
    pub why: String,
    /// The bytes that become free with it.
    pub size: u64,
}

impl Taken {
    pub(super) fn blob(blob: &StoredBlob) -> Self {
        let what = format!("blob {}", blob.digest);
        Self { what, why: "nothing names it".to_owned(), size: blob.size }
    }
}

/// What goes of one repository.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) tags: Vec<TagRecord>,
    pub(super) manifests: Vec<Digest>,
    pub(super) links: Vec<BlobLink>,
}

/// What goes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) removals: BTreeMap<RepositoryName, Planned>,
    pub(super) blobs: Vec<StoredBlob>,
    /// Tags and manifests, for the report.
    pub(super) names: Vec<Taken>,
}

/// One repository's facts.
#[derive(Default)]
struct Repository<'a> {
    manifests: BTreeMap<&'a Digest, (&'a ManifestRecord, Option<&'a Content>)>,
    tags: Vec<&'a TagRecord>,
    links: Vec<&'a BlobLink>,
}

impl Facts {
    pub(super) fn unreadable(&self) -> Vec<String> {
        let pairs = self.contents.manifests.iter().zip(&self.content);
        pairs
            .filter(|(_, content)| content.is_none())
            .map(|(record, _)| format!("{}@{}", record.repository, record.digest))
            .collect()
    }

    fn by_repository(&self) -> BTreeMap<&RepositoryName, Repository<'_>> {
        let mut all: BTreeMap<&RepositoryName, Repository<'_>> = BTreeMap::new();
        for (record, content) in self.contents.manifests.iter().zip(&self.content) {
            let of = all.entry(&record.repository).or_default();
            of.manifests.insert(&record.digest, (record, content.as_ref()));
        }
        for tag in &self.contents.tags {
            all.entry(&tag.repository).or_default().tags.push(tag);
        }
        for link in &self.contents.links {
            all.entry(&link.repository).or_default().links.push(link);
        }
        all
    }

    fn fresh(&self, at: Timestamp) -> bool {
        at + self.grace > self.now
    }

    fn older(&self, at: Timestamp, days: u32) -> bool {
        at + DAY * days <= self.now
    }
}

impl Plan {
    /// Decides; `wanted` says whether somebody asked about a digest within the grace period.
    pub(super) fn make(facts: &Facts, wanted: impl Fn(&Digest) -> bool) -> Self {
        let mut plan = Self::default();
        // What is needed somewhere: bytes are shared between repositories.
        let mut needed: BTreeSet<&Digest> =
            facts.roots.iter().map(|r| &r.digest).chain(&facts.others).collect();
        for (name, repository) in facts.by_repository() {
            let mut planned = Planned::default();
            let roots: BTreeSet<&Digest> =
                facts.roots.iter().filter(|r| r.repository == *name).map(|r| &r.digest).collect();
            let dropped = repository.dropped(facts, &roots);
            for (tag, why) in &dropped {
                let what = format!("tag {name}:{}", tag.tag);
                plan.names.push(Taken { what, why: why.clone(), size: 0 });
                planned.tags.push((*tag).clone());
            }
            let gone: BTreeSet<&str> = dropped.iter().map(|(tag, _)| tag.tag.as_str()).collect();
            let live = repository.live(facts, &roots, &gone, &wanted);
            for digest in repository.manifests.keys().filter(|d| !live.contains(**d)) {
                let what = format!("manifest {name}@{digest}");
                plan.names.push(Taken { what, why: "no tag reaches it".to_owned(), size: 0 });
                planned.manifests.push((*digest).clone());
            }
            needed.extend(&live);
            let mut whole = false;
            for digest in &live {
                match repository.manifests.get(*digest) {
                    Some((_, Some(content))) => needed.extend(&content.blobs),
                    // What it names is not known, so everything may be it.
                    Some((_, None)) => whole = true,
                    None => {}
                }
            }
            let named: BTreeSet<&Digest> = live
                .iter()
                .filter_map(|d| repository.manifests.get(*d)?.1)
                .flat_map(|content| &content.blobs)
                .collect();
            for link in &repository.links {
                let stays = whole || named.contains(&link.digest);
                if stays || facts.fresh(link.linked_at) || wanted(&link.digest) {
                    needed.insert(&link.digest);
                } else {
                    planned.links.push((*link).clone());
                }
            }
            if !(planned.tags.is_empty() && planned.manifests.is_empty() && planned.links.is_empty()) {
                plan.removals.insert(name.clone(), planned);
            }
        }
        let garbage =
            |b: &&StoredBlob| !needed.contains(&b.digest) && !facts.fresh(b.stored_at) && !wanted(&b.digest);
        plan.blobs = facts.blobs.iter().filter(garbage).cloned().collect();
        plan
    }
}

impl<'a> Repository<'a> {
    /// The tags that rules let go, and why.
    fn dropped(&self, facts: &Facts, roots: &BTreeSet<&Digest>) -> Vec<(&'a TagRecord, String)> {
        let mut newest: Vec<&TagRecord> = self.tags.clone();
        newest.sort_by(|a, b| b.updated_at.cmp(&a.updated_at).then_with(|| b.tag.cmp(&a.tag)));
        // By rule, how many of its tags came so far.
        let mut seen: HashMap<&str, u32> = HashMap::new();
        let mut dropped = Vec::new();
        for tag in newest {
            let (mut spoken, mut kept) = (None, false);
            for rule in facts.rules.iter().filter(|r| r.names(&tag.repository, &tag.tag)) {
                match rule.kind {
                    RuleKind::Immutable => kept = true,
                    RuleKind::Untagged { .. } => {}
                    RuleKind::Keep { last, days } => {
                        spoken = Some(rule);
                        let place = seen.entry(&rule.name).or_default();
                        *place += 1;
                        kept |= last.is_some_and(|last| *place <= last);
                        kept |= days.is_some_and(|days| !facts.older(tag.updated_at, days));
                    }
                }
            }
            let safe = kept || facts.fresh(tag.updated_at) || roots.contains(&tag.digest);
            if let Some(rule) = spoken.filter(|_| !safe) {
                dropped.push((tag, format!("rule {}", rule.name)));
            }
        }
        dropped
    }

    /// The manifests that stay.
    fn live(
        &self,
        facts: &Facts,
        roots: &BTreeSet<&'a Digest>,
        gone: &BTreeSet<&str>,
        wanted: impl Fn(&Digest) -> bool,
    ) -> BTreeSet<&'a Digest> {
        let tagged: BTreeSet<&Digest> = self.tags.iter().map(|t| &t.digest).collect();
        let held: BTreeSet<&Digest> =
            self.tags.iter().filter(|t| !gone.contains(t.tag.as_str())).map(|t| &t.digest).collect();
        let within: BTreeSet<&Digest> =
            self.manifests.values().filter_map(|(_, c)| *c).flat_map(|c| &c.children).collect();
        let mut work: Vec<&'a Digest> = Vec::new();
        for (digest, (record, _)) in &self.manifests {
            let depends = within.contains(*digest)
                || record.subject.as_ref().is_some_and(|subject| self.manifests.contains_key(subject));
            let own = if tagged.contains(*digest) {
                held.contains(*digest)
            } else {
                !depends && !Self::untagged_long(facts, record)
            };
            if own || roots.contains(*digest) || facts.fresh(record.pushed_at) || wanted(digest) {
                work.push(digest);
            }
        }
        let mut live = BTreeSet::new();
        while let Some(digest) = work.pop() {
            if !live.insert(digest) {
                continue;
            }
            if let Some((_, Some(content))) = self.manifests.get(digest) {
                work.extend(content.children.iter().filter(|c| self.manifests.contains_key(*c)));
            }
            let about = |r: &&ManifestRecord| r.subject.as_ref() == Some(digest);
            work.extend(self.manifests.values().map(|(record, _)| *record).filter(about).map(|r| &r.digest));
        }
        live
    }

    fn untagged_long(facts: &Facts, record: &ManifestRecord) -> bool {
        facts.rules.iter().filter(|r| r.repositories.matches(record.repository.as_str())).any(
            |rule| matches!(rule.kind, RuleKind::Untagged { days } if facts.older(record.pushed_at, days)),
        )
    }
}

#[cfg(test)]
mod tests;
