//! `RUN --mount`, expanded and checked.

use super::StageRun;
use crate::ast::{MountFlag, MountOption};
use crate::parse::{MOUNT_TYPES, boolean, size};
use crate::plan::{Mount, MountKind, Origin, Sharing, path};
use crate::{Diagnostic, Span};

/// A mount's options with their values.
#[derive(Default)]
struct Settings {
    kind: String,
    from: Option<Origin>,
    source: Option<String>,
    target: Option<String>,
    read_only: Option<bool>,
    id: Option<String>,
    sharing: Option<Sharing>,
    required: bool,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    env: Option<String>,
}

impl StageRun {
    pub(super) fn mounts(&mut self, flags: &[MountFlag]) -> Result<Vec<Mount>, Diagnostic> {
        self.ssh_mounts = 0;
        flags.iter().map(|flag| self.mount(flag)).collect()
    }

    fn mount(&mut self, flag: &MountFlag) -> Result<Mount, Diagnostic> {
        let mut settings = Settings { kind: "bind".to_owned(), ..Settings::default() };
        // The type first: what the others may be depends on it, and it may stand behind them.
        let (types, others): (Vec<_>, Vec<_>) = flag.options.iter().partition(|option| option.name == "type");
        for option in types.into_iter().chain(others) {
            self.setting(option, &mut settings)?;
        }
        check(&settings, flag.span)?;
        match settings.kind.as_str() {
            "secret" => secret(settings, flag.span, self.folder()),
            "ssh" => Ok(self.ssh(settings)),
            _ => self.tree(settings, flag.span),
        }
    }

    fn setting(&mut self, option: &MountOption, settings: &mut Settings) -> Result<(), Diagnostic> {
        let refuse = |message: String| Err(Diagnostic::error(option.span, message));
        let name = option.name.as_str();
        let Some(word) = &option.value else {
            match name {
                "readonly" => settings.read_only = Some(true),
                "readwrite" => settings.read_only = Some(false),
                _ => settings.required = true,
            }
            return Ok(());
        };
        let value = self.expand(word)?;
        let number = |radix: u32| u32::from_str_radix(&value, radix).ok();
        match name {
            "type" => {
                let kind = value.to_lowercase();
                if !MOUNT_TYPES.contains(&kind.as_str()) {
                    let finding =
                        Diagnostic::error(option.span, format!("there is no mount of type '{value}'"));
                    return Err(finding.with_suggestion(&kind, MOUNT_TYPES));
                }
                settings.kind = kind;
            }
            "from" => settings.from = Some(self.names.origin(word)?),
            "source" => settings.source = Some(value),
            "target" => settings.target = Some(value).filter(|value| !value.is_empty()),
            "id" => settings.id = Some(value).filter(|value| !value.is_empty()),
            "env" => settings.env = Some(value).filter(|value| !value.is_empty()),
            "sharing" => {
                settings.sharing = Some(match value.to_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return refuse(format!("'{value}' is no sharing: it is shared, private or locked")),
                });
            }
            "readonly" | "readwrite" | "required" => {
                let Some(on) = boolean(&value) else {
                    return refuse(format!("{name} is true or false, not '{value}'"));
                };
                match name {
                    "readonly" => settings.read_only = Some(on),
                    "readwrite" => settings.read_only = Some(!on),
                    _ => settings.required = on,
                }
            }
            "size" => match size(&value) {
                Some(bytes) => settings.size = Some(bytes),
                None => return refuse(format!("'{value}' is no size: it is written such as 64m")),
            },
            "mode" => match number(8).filter(|mode| *mode <= 0o7777) {
                Some(mode) => settings.mode = Some(mode),
                None => return refuse(format!("'{value}' is no mode: it has octal digits, up to 7777")),
            },
            _ => match number(10) {
                Some(id) if name == "uid" => settings.uid = Some(id),
                Some(id) => settings.gid = Some(id),
                None => return refuse(format!("'{value}' is no {name}: it is a number")),
            },
        }
        Ok(())
    }

    /// `bind`, `cache` and `tmpfs`.
    fn tree(&self, settings: Settings, span: Span) -> Result<Mount, Diagnostic> {
        let Some(wanted) = settings.target else {
            let message = format!("a {} mount needs a target: target=/path", settings.kind);
            return Err(Diagnostic::error(span, message));
        };
        let target = path::join(self.folder(), &wanted);
        if target == "/" {
            return Err(Diagnostic::error(span, "a mount cannot have the root as its target"));
        }
        let source = path::clean(settings.source.as_deref().unwrap_or("/"));
        let kind = match settings.kind.as_str() {
            "tmpfs" => MountKind::Tmpfs { size: settings.size.unwrap_or(0) },
            "cache" => MountKind::Cache {
                // As it is written: a relative target is another cache than the same absolute one.
                id: settings.id.unwrap_or_else(|| wanted.clone()),
                sharing: settings.sharing.unwrap_or_default(),
                read_only: settings.read_only.unwrap_or(false),
                from: settings.from,
                source,
                mode: settings.mode.unwrap_or(0o755),
                uid: settings.uid.unwrap_or(0),
                gid: settings.gid.unwrap_or(0),
            },
            _ => MountKind::Bind {
                from: settings.from.unwrap_or(Origin::Context),
                source,
                writable: settings.read_only == Some(false),
            },
        };
        Ok(Mount { kind, target: Some(target) })
    }

    fn ssh(&mut self, settings: Settings) -> Mount {
        let number = self.ssh_mounts;
        self.ssh_mounts += 1;
        let target = match settings.target {
            Some(target) => path::join(self.folder(), &target),
            None => format!("/run/buildkit/ssh_agent.{number}"),
        };
        Mount {
            kind: MountKind::Ssh {
                id: settings.id.unwrap_or_else(|| "default".to_owned()),
                required: settings.required,
                mode: settings.mode.unwrap_or(0o600),
                uid: settings.uid.unwrap_or(0),
                gid: settings.gid.unwrap_or(0),
            },
            target: Some(target),
        }
    }
}

fn secret(settings: Settings, span: Span, folder: &str) -> Result<Mount, Diagnostic> {
    let name = |text: &str| text.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_owned();
    let id = settings.source.or(settings.id).or_else(|| settings.target.as_deref().map(name));
    let Some(id) = id.filter(|id| !id.is_empty()) else {
        return Err(Diagnostic::error(span, "a secret mount needs an id: id=name"));
    };
    let target = match (&settings.target, &settings.env) {
        (Some(target), _) => Some(path::join(folder, target)),
        (None, None) => Some(format!("/run/secrets/{}", name(&id))),
        (None, Some(_)) => None,
    };
    Ok(Mount {
        kind: MountKind::Secret {
            id,
            required: settings.required,
            env: settings.env,
            mode: settings.mode.unwrap_or(0o400),
            uid: settings.uid.unwrap_or(0),
            gid: settings.gid.unwrap_or(0),
        },
        target,
    })
}

/// What a type of mount cannot have.
fn check(settings: &Settings, span: Span) -> Result<(), Diagnostic> {
    let kind = settings.kind.as_str();
    let owned = matches!(kind, "secret" | "ssh" | "cache");
    for (name, there, fits) in [
        ("mode", settings.mode.is_some(), owned),
        ("uid", settings.uid.is_some(), owned),
        ("gid", settings.gid.is_some(), owned),
        ("required", settings.required, matches!(kind, "secret" | "ssh")),
        ("sharing", settings.sharing.is_some(), kind == "cache"),
        ("size", settings.size.is_some(), kind == "tmpfs"),
        ("env", settings.env.is_some(), kind == "secret"),
        ("from", settings.from.is_some(), matches!(kind, "bind" | "cache")),
    ] {
        if there && !fits {
            return Err(Diagnostic::error(span, format!("a {kind} mount has no {name}")));
        }
    }
    if kind == "secret" && settings.source.is_some() && settings.id.is_some() {
        return Err(Diagnostic::error(span, "a secret mount has an id or a source, not both"));
    }
    Ok(())
}
