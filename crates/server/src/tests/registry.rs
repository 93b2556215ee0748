//! The registry's care: what is needed stays, what is not goes, and what others must not read is not read.

use std::time::Duration;

use windlass_api as api;
use windlass_api::{ErrorCode, RegistryRuleKind};
use windlass_identity::Role;
use windlass_kernel::{Actor, Secret, Store as _, StoreExt as _};

use super::deliveries::{ship_another, ship_web};
use super::world::{World, person};
use crate::runs::Approved as ApprovalDoc;
use crate::runs::look;

fn rule(kind: RegistryRuleKind, last: Option<u32>, days: Option<u32>) -> api::SetRegistryRule {
    api::SetRegistryRule { repositories: "*".into(), tags: "*".into(), kind, last, days }
}

#[tokio::test]
async fn what_runs_stays_and_what_nobody_needs_goes() {
    let world = World::new();
    let ada = person("ada", Role::Admin);
    ship_web(&world).await;
    let needed = world.ctx.needed_images().await.unwrap();
    assert_eq!(needed.len(), 1);
    assert_eq!(needed[0].why, "runs in staging");
    let live = format!("shop@{}", needed[0].digest);
    let orphan = world.image("shop", "nobody needs this").await;
    let orphan = format!("shop@{}", orphan.rsplit('@').next().unwrap());
    world.ctx.set_registry_rule(&ada, "rest", rule(RegistryRuleKind::Untagged, None, Some(0))).await.unwrap();
    world.ctx.set_registry_rule(&ada, "one", rule(RegistryRuleKind::Keep, Some(0), None)).await.unwrap();
    world.clock.advance(Duration::from_hours(30));
    let how = |dry_run| api::CollectRegistry { dry_run, grace_seconds: None };
    let told = world.ctx.collect_registry(&ada, how(true)).await.unwrap();
    assert!(told.taken.iter().any(|t| t.what.ends_with(&orphan)), "{told:?}");
    assert!(!told.taken.iter().any(|t| t.what.ends_with(&live)), "{told:?}");
    world.ctx.image_detail(&ada, &orphan).await.expect("a dry run takes nothing");
    world.ctx.collect_registry(&ada, how(false)).await.unwrap();
    let gone = world.ctx.image_detail(&ada, &orphan).await.unwrap_err();
    assert_eq!(gone.code, ErrorCode::NotFound);
    world.ctx.image_detail(&ada, &live).await.unwrap();
    assert_eq!(world.told("registry.collected").await, 1);
    let denied = world.ctx.collect_registry(&person("max", Role::Member), how(true)).await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::Forbidden);
}

/// Rules that let everything go, long after everything was pushed.
async fn all_may_go(world: &World) {
    let ada = person("ada", Role::Admin);
    world.ctx.set_registry_rule(&ada, "rest", rule(RegistryRuleKind::Untagged, None, Some(0))).await.unwrap();
    world.ctx.set_registry_rule(&ada, "none", rule(RegistryRuleKind::Keep, Some(0), None)).await.unwrap();
    world.clock.advance(Duration::from_hours(30));
}

async fn collect(world: &World) {
    let how = api::CollectRegistry { dry_run: false, grace_seconds: None };
    world.ctx.collect_registry(&person("ada", Role::Admin), how).await.unwrap();
}

const GUARDED: [(&str, &str); 2] = [
    (
        ".github/workflows/ci.yml",
        "on: push\njobs:\n  ship:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: 'true'\n",
    ),
    ("windlass.yml", "services:\n  web:\n    port: 80\nenvironments:\n  production:\n    reviewers: [bob]\n"),
];

#[tokio::test]
async fn what_waits_for_an_approval_outlives_a_collection() {
    let world = World::new();
    world.pushed("shop", "ada", &GUARDED).await;
    look(&world.ctx, true).await;
    let run = world.run().await;
    let bob = person("bob", Role::Member);
    let asked = world.ctx.approvals(&bob, Some("shop")).await.unwrap();
    assert_eq!(asked.len(), 1, "{asked:?}");
    // What an earlier job of the run pushed, and what somebody else did.
    let shop: windlass_oci::RepositoryName = "shop".parse().unwrap();
    let registry = &world.ctx.images.registry;
    let mut images = Vec::new();
    for (text, tag, by) in [("ours", "ours", Actor::Run(run.id)), ("theirs", "theirs", Actor::System)] {
        let digest = world.image("shop", text).await;
        let digest: windlass_kernel::Digest = digest.rsplit('@').next().unwrap().parse().unwrap();
        registry.tag(&shop, &digest, &tag.parse().unwrap(), &by).await.unwrap();
        images.push(format!("shop@{digest}"));
    }
    all_may_go(&world).await;
    collect(&world).await;
    let detail = world.ctx.image_detail(&bob, &images[0]).await.expect("it waits for bob");
    assert_eq!(detail.manifest.tags, ["ours"], "its name is gone");
    assert!(detail.layers.iter().all(|layer| !layer.missing), "its layers are there");
    assert_eq!(world.ctx.image_detail(&bob, &images[1]).await.unwrap_err().code, ErrorCode::NotFound);
    // The approval lets it through, after the collection too.
    let yes = api::Decide { approve: true, comment: String::new() };
    world.ctx.decide(&bob, &asked[0].id, yes).await.unwrap();
    look(&world.ctx, true).await;
    let job = world.lease().await.unwrap().expect("the approved job");
    collect(&world).await;
    world.ctx.image_detail(&bob, &images[0]).await.expect("its job goes on");
    world.finish(&job).await.unwrap();
    look(&world.ctx, true).await;
    assert!(world.run().await.is_completed());
    world.clock.advance(Duration::from_hours(30));
    collect(&world).await;
    assert_eq!(world.ctx.image_detail(&bob, &images[0]).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn what_an_approval_names_stays_whoever_pushed_it() {
    let world = World::new();
    world.pushed("shop", "ada", &GUARDED).await;
    look(&world.ctx, true).await;
    let digest = world.image("shop", "pushed by hand").await;
    let digest: windlass_kernel::Digest = digest.rsplit('@').next().unwrap().parse().unwrap();
    let id = format!("{}:production", world.run().await.id);
    let standing = world.store.get::<ApprovalDoc>(&id).await.unwrap().unwrap();
    let mut approval = standing.value;
    approval.digests.insert("web".parse().unwrap(), digest.clone());
    let batch = windlass_kernel::Batch::new().update(&approval, standing.version);
    world.store.commit(batch).await.unwrap();
    all_may_go(&world).await;
    collect(&world).await;
    let image = format!("shop@{digest}");
    world.ctx.image_detail(&person("bob", Role::Member), &image).await.expect("an approval names it");
}

#[tokio::test]
async fn deployments_that_failed_do_not_push_out_what_a_rollback_needs() {
    let world = World::new();
    ship_web(&world).await;
    let first = world.ctx.needed_images().await.unwrap()[0].digest.clone();
    ship_another(&world, false).await;
    for _ in 0..12 {
        ship_another(&world, true).await;
    }
    all_may_go(&world).await;
    collect(&world).await;
    let image = format!("shop@{first}");
    world.ctx.image_detail(&person("bob", Role::Member), &image).await.expect("staging may go back to it");
}

#[tokio::test]
async fn rules_say_something_or_are_refused() {
    let world = World::new();
    let ada = person("ada", Role::Admin);
    for (name, wrong) in [
        ("a", rule(RegistryRuleKind::Keep, None, None)),
        ("a", rule(RegistryRuleKind::Immutable, Some(1), None)),
        ("a", rule(RegistryRuleKind::Untagged, None, None)),
        ("A b", rule(RegistryRuleKind::Immutable, None, None)),
        ("a", api::SetRegistryRule { tags: "a b".into(), ..rule(RegistryRuleKind::Immutable, None, None) }),
    ] {
        let refused = world.ctx.set_registry_rule(&ada, name, wrong).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Invalid);
    }
    let kept = rule(RegistryRuleKind::Immutable, None, None);
    let view = world.ctx.set_registry_rule(&ada, "fixed", kept).await.unwrap();
    assert_eq!(view.words, "tags * of * never move");
    assert_eq!(world.ctx.registry_rules(&person("vera", Role::Viewer)).await.unwrap().len(), 1);
    world.ctx.remove_registry_rule(&ada, "fixed").await.unwrap();
    assert_eq!(world.ctx.remove_registry_rule(&ada, "fixed").await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_mirrors_password_is_sealed_and_no_project_can_have_its_place() {
    let world = World::new();
    let ada = person("ada", Role::Admin);
    let how = |password: Option<&str>| api::SetMirror {
        url: "https://registry.example".into(),
        user: Some("ci".into()),
        password: password.map(|p| Secret::new(p.to_owned())),
        fresh_seconds: None,
    };
    let refused = world.ctx.set_mirror(&ada, "corp", how(None)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Invalid);
    let view = world.ctx.set_mirror(&ada, "corp", how(Some("much-too-secret"))).await.unwrap();
    assert!(view.prefix.ends_with("/mirror/corp"), "{view:?}");
    let raw = world.store.get_raw("registry_mirror", "corp").await.unwrap().unwrap();
    assert!(!raw.body.contains("much-too-secret"));
    world.ctx.apply_mirrors().await.unwrap();
    let wanted = api::CreateProject { name: "mirror".into() };
    assert_eq!(world.ctx.create_project(&ada, wanted).await.unwrap_err().code, ErrorCode::Invalid);
    world.ctx.remove_mirror(&ada, "corp").await.unwrap();
    assert!(world.ctx.mirrors(&ada).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_images_parts_are_told_with_where_it_runs() {
    let world = World::new();
    ship_web(&world).await;
    let vera = person("vera", Role::Viewer);
    let repositories = world.ctx.image_repositories(&vera, "shop").await.unwrap();
    assert_eq!((repositories.len(), repositories[0].runs_in.as_slice()), (1, &["staging".to_owned()][..]));
    let other = world.image("shop", "another text").await;
    let other = format!("shop@{}", other.rsplit('@').next().unwrap());
    let detail = world.ctx.image_detail(&vera, &other).await.unwrap();
    let change = detail.change.expect("staging has another image");
    assert_eq!(change.environment, "staging");
    assert!(detail.layers.iter().any(|l| l.in_production == Some(false)));
    let layer = detail.layers.last().unwrap();
    let tree = world.ctx.layer_tree(&vera, &other, &layer.digest, "", 0).await.unwrap();
    assert!(tree.problem.is_none() && tree.totals.added > 0 && !tree.rows.is_empty(), "{tree:?}");
    let none = world.ctx.layer_tree(&vera, &other, &detail.manifest.digest, "", 0).await.unwrap_err();
    assert_eq!(none.code, ErrorCode::NotFound);
    let held = world.ctx.image_repository(&vera, "shop").await.unwrap();
    assert_eq!(held.total as usize, held.manifests.len());
}
