//! The registry's rules.

use windlass_api as api;
use windlass_api::{Problem, RegistryRuleKind};
use windlass_identity::{Action, Principal, Resource};
use windlass_oci::{Pattern, RegistryRule, RuleKind};

use crate::context::{Context, may, parse, stored};

type Answer<T> = Result<T, Problem>;

/// The longest name of a rule or a mirror.
const LONGEST_NAME: usize = 40;

impl Context {
    pub(crate) async fn registry_rules(&self, who: &Principal) -> Answer<Vec<api::RegistryRuleView>> {
        may(who, Action::ReadPlatform, &Resource::Platform)?;
        let rules = self.images.registry.index().rules().await.map_err(stored)?;
        Ok(rules.iter().map(view).collect())
    }

    pub(crate) async fn set_registry_rule(
        &self,
        who: &Principal,
        name: &str,
        rule: api::SetRegistryRule,
    ) -> Answer<api::RegistryRuleView> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        plain_name(name, "a rule")?;
        let kind = match (rule.kind, rule.last, rule.days) {
            (RegistryRuleKind::Immutable, None, None) => RuleKind::Immutable,
            (RegistryRuleKind::Keep, None, None) => {
                return Err(Problem::invalid("say what is kept: `--last N`, `--days N`, or both"));
            }
            (RegistryRuleKind::Keep, last, days) => RuleKind::Keep { last, days },
            (RegistryRuleKind::Untagged, None, Some(days)) => RuleKind::Untagged { days },
            (RegistryRuleKind::Immutable, ..) => {
                return Err(Problem::invalid("tags that never move have no number and no age"));
            }
            (RegistryRuleKind::Untagged, ..) => {
                return Err(Problem::invalid("say after how many days: `--days N`"));
            }
        };
        let repositories: Pattern = parse(&rule.repositories)?;
        let tags: Pattern = parse(&rule.tags)?;
        let (set_at, set_by) = (self.now(), who.actor.clone());
        let rule = RegistryRule { name: name.to_owned(), repositories, tags, kind, set_at, set_by };
        self.images.registry.index().set_rule(&rule).await.map_err(stored)?;
        Ok(view(&rule))
    }

    pub(crate) async fn remove_registry_rule(&self, who: &Principal, name: &str) -> Answer<()> {
        may(who, Action::ManageRegistry, &Resource::Platform)?;
        let removed = self.images.registry.index().remove_rule(name, &who.actor).await.map_err(stored)?;
        if removed { Ok(()) } else { Err(Problem::not_found(format!("there is no rule {name}"))) }
    }
}

/// Refuses what is no name of a rule or a mirror.
pub(super) fn plain_name(name: &str, what: &str) -> Answer<()> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let good = name.len() <= LONGEST_NAME
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    Err(Problem::invalid(format!(
        "`{name}` is not the name of {what}: lower-case letters, digits and hyphens, a letter first, {LONGEST_NAME} at most"
    )))
}

fn view(rule: &RegistryRule) -> api::RegistryRuleView {
    let (kind, last, days) = match rule.kind {
        RuleKind::Immutable => (RegistryRuleKind::Immutable, None, None),
        RuleKind::Keep { last, days } => (RegistryRuleKind::Keep, last, days),
        RuleKind::Untagged { days } => (RegistryRuleKind::Untagged, None, Some(days)),
    };
    let (repositories, tags) = (rule.repositories.to_string(), rule.tags.to_string());
    api::RegistryRuleView {
        name: rule.name.clone(),
        rule: api::SetRegistryRule { repositories, tags, kind, last, days },
        words: rule.to_string(),
        set_at: rule.set_at,
        set_by: rule.set_by.to_string(),
    }
}
