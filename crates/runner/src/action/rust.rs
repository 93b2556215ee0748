//! `dtolnay/rust-toolchain` and its kin: chooses among the machine's own Rust toolchains. Nothing is downloaded.

use async_trait::async_trait;
use windlass_workflow::model::ActionRef;

use super::toolchain::{Fit, Version, Wanted};
use super::{Action, ActionError, ActionRun, failed};

pub(super) struct RustToolchain;

/// What a toolchain is asked to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Channel {
    Named(String),
    Numbered(String),
}

/// A toolchain of the machine.
struct Installed {
    /// Its name in rustup; none without rustup.
    name: Option<String>,
    version: Version,
    /// What `rustc --version` says.
    said: String,
}

#[async_trait]
impl Action for RustToolchain {
    fn inputs(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("toolchain", ""),
            ("targets", ""),
            ("target", ""),
            ("components", ""),
            ("profile", ""),
            ("override", ""),
            ("default", ""),
            ("cache", "false"),
            ("cache-workspaces", ""),
            ("cache-directories", ""),
            ("cache-on-failure", ""),
            ("matcher", "true"),
            ("rustflags", ""),
        ]
    }

    async fn run(&self, run: &mut ActionRun<'_>) -> Result<(), ActionError> {
        let channel = channel(run);
        let all = installed(run).await?;
        let chosen = choose(run, &channel, &all)?;
        if let Some(name) = &chosen.name {
            run.export("RUSTUP_TOOLCHAIN", name.clone());
        }
        run.voice.say(chosen.said.trim());
        for component in words(run.input("components")) {
            component_there(run, &component).await?;
        }
        for target in words(run.input("targets")).into_iter().chain(words(run.input("target"))) {
            target_there(run, &target).await?;
        }
        if !run.input("rustflags").is_empty() {
            let flags = run.input("rustflags").to_owned();
            run.export("RUSTFLAGS", flags);
        }
        if run.flag("cache")? {
            run.voice.warn("`cache` does nothing here yet: use `Swatinem/rust-cache`");
        }
        let name = chosen.name.clone().unwrap_or_else(|| chosen.version.to_string());
        run.output("name", name.clone());
        run.output("toolchain", name);
        let key: String = chosen.said.chars().filter(char::is_ascii_alphanumeric).collect();
        run.output("cachekey", key);
        run.output("rustc-version", chosen.version.to_string());
        Ok(())
    }
}

/// `dtolnay/rust-toolchain` names the toolchain in its own version: `@stable`, `@1.75`.
fn channel(run: &ActionRun<'_>) -> Channel {
    let mut text = run.input("toolchain").to_owned();
    if text.is_empty()
        && let ActionRef::Repository { repo, git_ref, .. } = run.uses
        && repo == "rust-toolchain"
        && !["master", "main", "v1"].contains(&git_ref.as_str())
    {
        text.clone_from(git_ref);
    }
    parse_channel(&text)
}

fn parse_channel(text: &str) -> Channel {
    let text = if text.is_empty() { "stable" } else { text };
    let numbered = text.trim_start_matches('v');
    if numbered.starts_with(|c: char| c.is_ascii_digit()) {
        Channel::Numbered(numbered.to_owned())
    } else {
        let name = text.split("-20").next().unwrap_or(text);
        Channel::Named(name.split_whitespace().next().unwrap_or("stable").to_owned())
    }
}

async fn installed(run: &ActionRun<'_>) -> Result<Vec<Installed>, ActionError> {
    let here = run.workspace();
    let mut all = Vec::new();
    let listed = run.read(&["rustup", "toolchain", "list"], &here).await?.unwrap_or_default();
    for name in listed.lines().filter_map(|line| line.split_whitespace().next()) {
        let plus = format!("+{name}");
        if let Some(said) = run.read(&["rustc", &plus, "--version"], &here).await?
            && let Some(version) = Version::in_text(&said)
        {
            all.push(Installed { name: Some(name.to_owned()), version, said });
        }
    }
    if all.is_empty()
        && let Some(said) = run.read(&["rustc", "--version"], &here).await?
        && let Some(version) = Version::in_text(&said)
    {
        all.push(Installed { name: None, version, said });
    }
    Ok(all)
}

fn choose<'a>(
    run: &ActionRun<'_>,
    channel: &Channel,
    all: &'a [Installed],
) -> Result<&'a Installed, ActionError> {
    let there = || {
        let names: Vec<_> =
            all.iter().map(|one| one.name.clone().unwrap_or_else(|| one.version.to_string())).collect();
        if names.is_empty() { "no Rust at all".to_owned() } else { names.join(", ") }
    };
    match channel {
        Channel::Named(name) => {
            let released = |one: &&Installed| !one.said.contains("nightly") && !one.said.contains("-beta");
            let fits = |one: &&Installed| match name.as_str() {
                "stable" => released(one),
                channel => one.said.contains(&format!("-{channel}")),
            };
            let named =
                all.iter().find(|one| one.name.as_ref().is_some_and(|have| have.starts_with(name.as_str())));
            named.or_else(|| all.iter().filter(fits).max_by(|a, b| a.version.cmp(&b.version))).ok_or_else(|| {
                failed(format!("the Rust toolchain `{name}` is not on this machine; there is {}: install it with `rustup toolchain install {name}`", there()))
            })
        }
        Channel::Numbered(text) => {
            let wanted = Wanted::parse(text).map_err(|why| failed(format!("`toolchain`: {why}")))?;
            let best = all
                .iter()
                .filter_map(|one| Some((one, wanted.fit(&one.version)?)))
                .max_by(|(a, fit_a), (b, fit_b)| (fit_a, &a.version).cmp(&(fit_b, &b.version)));
            let (best, fit) = best
                .ok_or_else(|| failed(format!("Rust {text} is not on this machine; there is {}", there())))?;
            if fit == Fit::Minor {
                run.voice
                    .warn(&format!("Rust {text} is not on this machine; {} is used instead", best.version));
            }
            Ok(best)
        }
    }
}

async fn component_there(run: &ActionRun<'_>, component: &str) -> Result<(), ActionError> {
    let here = run.workspace();
    let there = match component {
        "rustfmt" => run.read(&["rustfmt", "--version"], &here).await?.is_some(),
        "clippy" => run.read(&["cargo-clippy", "--version"], &here).await?.is_some(),
        "cargo" => run.read(&["cargo", "--version"], &here).await?.is_some(),
        "rust-analyzer" => run.read(&["rust-analyzer", "--version"], &here).await?.is_some(),
        other => {
            let listed =
                run.read(&["rustup", "component", "list", "--installed"], &here).await?.unwrap_or_default();
            listed.lines().any(|line| line.starts_with(other.trim_end_matches("-preview")))
        }
    };
    if there {
        return Ok(());
    }
    Err(failed(format!(
        "the Rust component `{component}` is not on this machine: install it with `rustup component add {component}`"
    )))
}

async fn target_there(run: &ActionRun<'_>, target: &str) -> Result<(), ActionError> {
    let folder =
        run.read(&["rustc", "--print", "target-libdir", "--target", target], &run.workspace()).await?;
    let folder = folder.unwrap_or_default().trim().to_owned();
    if !folder.is_empty() && run.read(&["test", "-d", &folder], &run.workspace()).await?.is_some() {
        return Ok(());
    }
    Err(failed(format!(
        "the Rust target `{target}` is not on this machine: install it with `rustup target add {target}`"
    )))
}

fn words(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n']).map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolchains_are_channels_or_numbers() {
        for (text, wanted) in [
            ("", Channel::Named("stable".into())),
            ("nightly-2024-01-01", Channel::Named("nightly".into())),
            ("1.75.0", Channel::Numbered("1.75.0".into())),
            ("stable minus 8 releases", Channel::Named("stable".into())),
        ] {
            assert_eq!(parse_channel(text), wanted, "{text}");
        }
        assert_eq!(words("rustfmt, clippy\nllvm-tools"), ["rustfmt", "clippy", "llvm-tools"]);
    }
}
