//! Facts in, garbage out.

use super::*;
use crate::Pattern;
use windlass_kernel::Actor;

const NOW: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;

/// A small language of facts: everything is `hours` old.
#[derive(Default)]
struct World(Facts);

fn digest(name: &str) -> Digest {
    Digest::sha256(name.as_bytes())
}

fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    Timestamp::from_millis(NOW - hours * HOUR)
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millis(NOW);
        Self(Facts { now, grace: Duration::from_hours(1), ..Facts::default() })
    }

    fn blob(mut self, name: &str, hours: i64) -> Self {
        let (digest, stored_at) = (digest(name), ago(hours));
        self.0.blobs.push(StoredBlob { digest, size: 10, stored_at });
        self
    }

    fn link(mut self, of: &str, name: &str, hours: i64) -> Self {
        let (repository, digest) = (repository(of), digest(name));
        self.0.contents.links.push(BlobLink { repository, digest, linked_at: ago(hours) });
        self
    }

    fn manifest(mut self, of: &str, name: &str, hours: i64, content: Option<(&[&str], &[&str])>) -> Self {
        let all = |names: &[&str]| names.iter().map(|n| digest(n)).collect::<Vec<_>>();
        self.0.content.push(content.map(|(b, c)| Content { blobs: all(b), children: all(c) }));
        self.0.contents.manifests.push(ManifestRecord {
            repository: repository(of),
            digest: digest(name),
            media_type: "application/vnd.oci.image.manifest.v1+json".into(),
            size: 10,
            content_size: 10,
            artifact_type: None,
            subject: None,
            annotations: BTreeMap::new(),
            pushed_at: ago(hours),
            pushed_by: Actor::System,
        });
        self.blob(name, hours)
    }

    fn about(mut self, subject: &str) -> Self {
        self.0.contents.manifests.last_mut().unwrap().subject = Some(digest(subject));
        self
    }

    fn tag(mut self, of: &str, tag: &str, name: &str, hours: i64) -> Self {
        self.0.contents.tags.push(TagRecord {
            repository: repository(of),
            tag: tag.parse().unwrap(),
            digest: digest(name),
            updated_at: ago(hours),
            updated_by: Actor::System,
        });
        self
    }

    fn rule(mut self, name: &str, tags: &str, kind: RuleKind) -> Self {
        self.0.rules.push(RegistryRule {
            name: name.into(),
            repositories: Pattern::any(),
            tags: tags.parse().unwrap(),
            kind,
            set_at: ago(0),
            set_by: Actor::System,
        });
        self
    }

    fn root(mut self, of: &str, name: &str) -> Self {
        self.0.roots.push(Root { repository: repository(of), digest: digest(name), why: "runs".into() });
        self
    }

    /// The names of what goes, of those that are asked about.
    fn goes(&self, names: &[&str]) -> Vec<String> {
        let plan = Plan::make(&self.0, |_| false);
        let gone: BTreeSet<Digest> = plan.blobs.iter().map(|b| b.digest.clone()).collect();
        names.iter().filter(|n| gone.contains(&digest(n))).map(|n| (*n).to_owned()).collect()
    }

    fn tags_gone(&self) -> Vec<String> {
        let plan = Plan::make(&self.0, |_| false);
        plan.removals.values().flat_map(|r| &r.tags).map(|t| t.tag.to_string()).collect()
    }
}

const LAST_2: RuleKind = RuleKind::Keep { last: Some(2), days: None };

#[test]
fn bytes_go_when_nothing_names_them_and_they_are_old() {
    let world =
        World::new().blob("orphan", 5).blob("new orphan", 0).blob("linked new", 5).link("a", "linked new", 0);
    let world = world.blob("linked old", 5).link("a", "linked old", 5);
    let world = world.manifest("a", "m", 5, Some((&["layer"], &[]))).blob("layer", 5).link("a", "layer", 5);
    let world = world.tag("a", "v1", "m", 5);
    assert_eq!(
        world.goes(&["orphan", "new orphan", "linked new", "linked old", "m", "layer"]),
        ["orphan", "linked old"]
    );
}

#[test]
fn without_rules_every_image_stays() {
    let world = World::new().manifest("a", "m", 9999, Some((&["layer"], &[]))).blob("layer", 9999);
    assert!(world.goes(&["m", "layer"]).is_empty(), "also one that no tag reaches");
}

#[test]
fn the_last_ones_stay_of_each_repository() {
    let mut world = World::new().rule("two", "v*", LAST_2);
    for of in ["a", "b"] {
        for n in 1..=4 {
            let name = format!("{of}{n}");
            world = world.manifest(of, &name, 100 - n, Some((&[], &[]))).tag(
                of,
                &format!("v{n}"),
                &name,
                100 - n,
            );
        }
        world = world.manifest(of, &format!("{of}latest"), 200, Some((&[], &[])));
        world = world.tag(of, "latest", &format!("{of}latest"), 200);
    }
    assert_eq!(world.tags_gone(), ["v2", "v1", "v2", "v1"]);
    assert_eq!(world.goes(&["a1", "a2", "a3", "a4", "alatest", "b2"]), ["a1", "a2", "b2"]);
}

#[test]
fn one_rule_that_keeps_is_enough_and_a_second_tag_keeps_the_manifest() {
    let by_age = RuleKind::Keep { last: None, days: Some(2) };
    let world = World::new()
        .rule("last", "*", RuleKind::Keep { last: Some(1), days: None })
        .rule("age", "*", by_age)
        .rule("fixed", "1.*", RuleKind::Immutable)
        .manifest("a", "new", 1, Some((&[], &[])))
        .tag("a", "new", "new", 2)
        .manifest("a", "young", 30, Some((&[], &[])))
        .tag("a", "young", "young", 30)
        .manifest("a", "old", 90, Some((&[], &[])))
        .tag("a", "old", "old", 90)
        .tag("a", "1.0", "old", 90)
        .manifest("a", "older", 91, Some((&[], &[])))
        .tag("a", "older", "older", 91);
    assert_eq!(world.tags_gone(), ["old", "older"]);
    assert_eq!(world.goes(&["new", "young", "old", "older"]), ["older"]);
}

#[test]
fn what_runs_stays_with_all_that_it_needs_and_all_that_is_said_of_it() {
    let world = World::new()
        .rule("one", "*", RuleKind::Keep { last: Some(1), days: None })
        .rule("rest", "*", RuleKind::Untagged { days: 1 })
        .manifest("a", "index", 99, Some((&[], &["child"])))
        .tag("a", "v1", "index", 99)
        .manifest("a", "child", 99, Some((&["layer"], &[])))
        .blob("layer", 99)
        .manifest("a", "sbom", 99, Some((&["text"], &[])))
        .about("child")
        .blob("text", 99)
        .manifest("a", "signature", 99, Some((&[], &[])))
        .about("sbom")
        .manifest("a", "next", 2, Some((&[], &[])))
        .tag("a", "v2", "next", 2);
    let all = ["index", "child", "layer", "sbom", "text", "signature", "next"];
    assert_eq!(world.goes(&all), ["index", "child", "layer", "sbom", "text", "signature"]);
    let world = world.root("a", "index");
    assert!(world.goes(&all).is_empty());
    assert!(world.tags_gone().is_empty(), "its name stays, too");
}

#[test]
fn what_no_tag_reaches_goes_by_rule_only_and_alone() {
    let world = World::new()
        .rule("rest", "*", RuleKind::Untagged { days: 1 })
        .manifest("a", "old", 30, Some((&[], &[])))
        .manifest("a", "young", 3, Some((&[], &[])))
        .manifest("a", "tagged", 30, Some((&[], &[])))
        .tag("a", "v1", "tagged", 30)
        .manifest("a", "evidence", 30, Some((&[], &[])))
        .about("tagged")
        .manifest("a", "stray", 30, Some((&[], &[])))
        .about("elsewhere");
    assert_eq!(world.goes(&["old", "young", "tagged", "evidence", "stray"]), ["old", "stray"]);
}

#[test]
fn what_cannot_be_read_keeps_everything_of_its_repository() {
    let world = World::new().manifest("a", "rotten", 30, None).tag("a", "v1", "rotten", 30);
    let world = world.blob("layer", 30).link("a", "layer", 30).blob("other", 30).link("b", "other", 30);
    assert_eq!(world.goes(&["rotten", "layer", "other"]), ["other"]);
}

#[test]
fn what_somebody_asked_about_stays() {
    let world = World::new().blob("orphan", 5).blob("linked", 5).link("a", "linked", 5);
    let plan = Plan::make(&world.0, |d| *d == digest("orphan") || *d == digest("linked"));
    assert!(plan.blobs.is_empty() && plan.removals.is_empty());
}
