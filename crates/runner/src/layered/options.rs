//! `options` of a container, as far as they mean something in a sandbox.

use std::net::IpAddr;
use std::time::Duration;

use windlass_runtime::{Limits, Memory};

/// What `options` ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Options {
    pub(super) limits: Limits,
    pub(super) user: Option<String>,
    pub(super) workdir: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) hosts: Vec<(String, IpAddr)>,
    pub(super) aliases: Vec<String>,
    pub(super) volumes: Vec<String>,
    pub(super) ports: Vec<String>,
    /// Folders that are empty at first.
    pub(super) empty: Vec<Memory>,
    pub(super) read_only: bool,
    pub(super) health: Health,
    /// Options that change nothing here, and why.
    pub(super) notes: Vec<String>,
}

/// What `options` say of a health check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) none: bool,
    pub(super) command: Option<String>,
    pub(super) interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) start_period: Option<Duration>,
    pub(super) retries: Option<u32>,
}

/// Short forms.
const SHORT: &[(&str, &str)] = &[
    ("-e", "--env"),
    ("-h", "--hostname"),
    ("-i", "--interactive"),
    ("-l", "--label"),
    ("-m", "--memory"),
    ("-p", "--publish"),
    ("-t", "--tty"),
    ("-u", "--user"),
    ("-v", "--volume"),
    ("-w", "--workdir"),
];
/// Options without a value.
const ALONE: &[&str] = &["--init", "--interactive", "--no-healthcheck", "--read-only", "--rm", "--tty"];
/// Those that change nothing here, and why.
const NOTED: &[(&str, &str)] = &[
    ("--init", "every sandbox has an init"),
    ("--interactive", "nobody writes to a container"),
    ("--label", "nobody reads labels of a sandbox"),
    ("--name", "a container is known by its service's name"),
    ("--rm", "every container goes with its job"),
    ("--shm-size", "memory that is shared has no other bound than the container's"),
    ("--expose", "every port that is listened on is reached"),
    ("--stop-signal", "services are ended at once when the job is over"),
    ("--stop-timeout", "services are ended at once when the job is over"),
    ("--tty", "there is no terminal"),
];

impl Options {
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = words.iter().cloned();
        while let Some(word) = rest.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if word.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (word.clone(), None),
            };
            if !name.starts_with('-') {
                return Err(format!("`{name}` in `options` is no option"));
            }
            let name =
                SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| (*long).to_owned());
            if ALONE.contains(&name.as_str()) {
                let on = value.as_deref().is_none_or(|value| value == "true");
                options.flag(&name, on);
                continue;
            }
            let value = value.or_else(|| rest.next()).unwrap_or_default();
            if !options.set(&name, &value)? {
                return Err(format!(
                    "`options` with {name} cannot be had in a sandbox. The runner's operator can let containers run on the \
                     Docker Engine instead (`windlass up --docker`, `windlass run --docker`)"
                ));
            }
        }
        Ok(options)
    }

    fn flag(&mut self, name: &str, on: bool) {
        match name {
            "--read-only" => self.read_only = on,
            "--no-healthcheck" => self.health.none = on,
            _ => self.note(name),
        }
    }

    fn note(&mut self, name: &str) {
        if let Some((_, why)) = NOTED.iter().find(|(noted, _)| *noted == name) {
            self.notes.push(format!("{name} changes nothing here: {why}"));
        }
    }

    /// False: there is nothing like it.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let wrong = |wanted: &str| format!("`{name} {value}` in `options` is not {wanted}");
        if value.is_empty() {
            return if is_known(name) {
                Err(format!("`{name}` in `options` has no value"))
            } else {
                Ok(false)
            };
        }
        let time = || duration(value).ok_or_else(|| wrong("a time such as 10s"));
        let owned = value.to_owned();
        match name {
            "--cpus" => {
                let cpus = value.parse::<f64>().ok().filter(|n| *n > 0.0 && *n < 1e6);
                self.limits.cpu_millis =
                    Some((cpus.ok_or_else(|| wrong("a number of processors"))? * 1e3) as u64);
            }
            "--memory" => {
                self.limits.memory_bytes = Some(bytes(value).ok_or_else(|| wrong("a size such as 512m"))?);
            }
            "--pids-limit" => {
                self.limits.processes = Some(value.parse().map_err(|_| wrong("a number of processes"))?);
            }
            "--user" => self.user = Some(owned),
            "--workdir" => {
                let folder = value.starts_with('/').then_some(owned);
                self.workdir = Some(folder.ok_or_else(|| wrong("a folder from the root"))?);
            }
            "--hostname" => self.hostname = Some(host(value).ok_or_else(|| wrong("the name of a host"))?),
            "--network-alias" => self.aliases.push(host(value).ok_or_else(|| wrong("the name of a host"))?),
            "--env" => {
                let (name, value) = value.split_once('=').ok_or_else(|| wrong("NAME=VALUE"))?;
                self.env.push((name.to_owned(), value.to_owned()));
            }
            "--add-host" => {
                let pair =
                    value.split_once([':', '=']).and_then(|(name, ip)| Some((host(name)?, address(ip)?)));
                self.hosts.push(pair.ok_or_else(|| wrong("NAME:ADDRESS"))?);
            }
            "--tmpfs" => {
                let (folder, how) = value.split_once(':').unwrap_or((value, ""));
                let inside = Some(folder).filter(|folder| folder.starts_with('/') && *folder != "/");
                let inside = inside.ok_or_else(|| wrong("a folder from the root"))?.into();
                let size = how.split(',').find_map(|word| bytes(word.strip_prefix("size=")?));
                self.empty.push(Memory { inside, bytes: size.unwrap_or(0) });
            }
            "--volume" => self.volumes.push(owned),
            "--publish" => self.ports.push(owned),
            "--health-cmd" => self.health.command = Some(owned),
            "--health-interval" => self.health.interval = Some(time()?),
            "--health-timeout" => self.health.timeout = Some(time()?),
            "--health-start-period" => self.health.start_period = Some(time()?),
            "--health-retries" => {
                self.health.retries = Some(value.parse().map_err(|_| wrong("a number of tries"))?);
            }
            "--security-opt" if value == "no-new-privileges" || value == "no-new-privileges:true" => {}
            "--platform" if value == platform() => {}
            _ if NOTED.iter().any(|(noted, _)| *noted == name) => self.note(name),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Whether the option could be had, with a value.
fn is_known(name: &str) -> bool {
    let probes = ["1", "/x", "a=b", "a:127.0.0.1", "10s", "512m", "a"];
    probes.iter().any(|probe| !matches!(Options::default().set(name, probe), Ok(false)))
}

fn platform() -> String {
    format!("linux/{}", windlass_oci::machine_architecture())
}

/// The name of a host; it becomes a line of a file.
fn host(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (!text.is_empty() && text.len() <= 63 && text.chars().all(plain)).then(|| text.to_owned())
}

fn address(text: &str) -> Option<IpAddr> {
    if text == "host-gateway" {
        return Some(IpAddr::from([127, 0, 0, 1]));
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A size as Docker writes it.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches('b');
    let (number, shift) = match digits.char_indices().last()? {
        (at, 'k') => (&digits[..at], 10),
        (at, 'm') => (&digits[..at], 20),
        (at, 'g') => (&digits[..at], 30),
        (at, 't') => (&digits[..at], 40),
        _ => (digits, 0),
    };
    let number: f64 = number.parse().ok().filter(|n: &f64| *n >= 0.0 && n.is_finite())?;
    let bytes = number * f64::from(shift).exp2();
    (1.0..1e18).contains(&bytes).then_some(bytes as u64)
}

/// A time as Go writes it: `1m30s`, `500ms`.
fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text, 0.0);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = &rest[end..];
        let (seconds, length) =
            [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
                .into_iter()
                .find_map(|(name, seconds)| unit.starts_with(name).then_some((seconds, name.len())))?;
        total += number * seconds;
        rest = &unit[length..];
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(&text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn what_means_something_in_a_sandbox_is_heeded() {
        let options = parse(
            "--cpus 1.5 --memory=512m --pids-limit 50 -u 70:70 -w /srv -e A=1=2 --hostname db --tmpfs /x:size=1m \
             --read-only --health-interval 1m30s --health-timeout=500ms --health-retries 3 --health-cmd true \
             --add-host other:10.0.0.1 --network-alias two --init --label a=b -v data:/data -p 81:80",
        )
        .unwrap();
        assert_eq!(options.limits.cpu_millis, Some(1500));
        assert_eq!(options.limits.memory_bytes, Some(512 << 20));
        assert_eq!(options.limits.processes, Some(50));
        assert_eq!((options.user.as_deref(), options.workdir.as_deref()), (Some("70:70"), Some("/srv")));
        assert_eq!(options.env, [("A".to_owned(), "1=2".to_owned())]);
        assert_eq!(options.empty, [Memory { inside: "/x".into(), bytes: 1 << 20 }]);
        assert!(options.read_only);
        assert_eq!(options.health.interval, Some(Duration::from_secs(90)));
        assert_eq!(options.health.timeout, Some(Duration::from_millis(500)));
        assert_eq!((options.health.retries, options.health.command.as_deref()), (Some(3), Some("true")));
        assert_eq!(options.hosts, [("other".to_owned(), "10.0.0.1".parse().unwrap())]);
        assert_eq!((options.aliases, options.notes.len()), (vec!["two".to_owned()], 2));
        assert_eq!(
            (options.volumes, options.ports),
            (vec!["data:/data".to_owned()], vec!["81:80".to_owned()])
        );
    }

    #[test]
    fn what_means_nothing_there_is_refused_by_its_name() {
        for bad in [
            "--privileged",
            "--cap-add ALL",
            "--cap-add=NET_ADMIN",
            "--device /dev/kvm",
            "--pid host",
            "--gpus all",
            "--security-opt seccomp=unconfined",
            "--userns=host",
            "--ulimit nofile=1:1",
            "--network host",
            "--mount type=bind,src=/,dst=/x",
            "--runtime x",
            "--platform linux/none",
        ] {
            let why = parse(bad).unwrap_err();
            let name = bad.split([' ', '=']).next().unwrap();
            assert!(why.contains(name) && why.contains("Docker"), "{bad}: {why}");
        }
        for (wrong, why) in [
            ("--cpus many", "processors"),
            ("--memory", "no value"),
            ("--memory lots", "512m"),
            ("--env HOME", "NAME=VALUE"),
            ("--add-host a", "NAME:ADDRESS"),
            ("--hostname a\nb", "host"),
            ("--health-interval soon", "10s"),
            ("--tmpfs x", "root"),
            ("image", "no option"),
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains(why), "{wrong}: {said}");
        }
    }
}
