//! The registry's care: what is needed stays, what is not goes, and what others must not read is not read.

use std::time::Duration;

use windlass_api as api;
use windlass_api::{ErrorCode, RegistryRuleKind};
use windlass_identity::Role;
use windlass_kernel::{Secret, Store as _};

use super::deliveries::ship_web;
use super::world::{World, person};

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
    let listing = world.ctx.layer_listing(&vera, &other, &layer.digest).await.unwrap();
    assert!(listing.complete && !listing.entries.is_empty(), "{listing:?}");
    let none = world.ctx.layer_listing(&vera, &other, &detail.manifest.digest).await.unwrap_err();
    assert_eq!(none.code, ErrorCode::NotFound);
    let held = world.ctx.image_repository(&vera, "shop").await.unwrap();
    assert_eq!(held.total as usize, held.manifests.len());
}
