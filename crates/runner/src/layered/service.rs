//! A service beside a job: its program, what it says, and whether it is well.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;
use windlass_oci::ContainerConfig;
use windlass_runtime::{Exec, Exit, Output, ProcessControl, Sandbox, Signal};

use super::Layered;
use super::net::Realm;
use super::options::{Health, Options};
use super::raise::{Plan, Raised};
use super::store::Laid;
use crate::action::{ActionError, failed};
use crate::container::{Running, Wanted, environment};
use crate::job::Job;
use crate::log::{Lines, Part};
use crate::place::{Interruption, PlaceError};
use crate::stop::Stop;
use crate::transcript::Voice;

/// How much of what a service said is kept.
const MOST_LINES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;
/// How long a service without a health check has to fail at once, if it listens on nothing meanwhile.
const SETTLES: Duration = Duration::from_millis(300);
/// The time between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// The longest time between two health checks.
const CHECK: Duration = Duration::from_secs(1);

/// A service that was started.
pub(super) struct Service {
    sandbox: Arc<dyn Sandbox>,
    program: Arc<dyn ProcessControl>,
    heard: Arc<Mutex<Tail>>,
    check: Option<Check>,
    isolated: bool,
}

/// The last lines of a service.
#[derive(Default)]
struct Tail {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    left_out: usize,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Check {
    exec: Exec,
    interval: Duration,
    timeout: Duration,
    start_period: Duration,
    retries: u32,
}

impl Tail {
    fn line(&mut self, line: &[u8]) {
        self.bytes += line.len();
        self.lines.push_back(line.to_vec());
        while self.lines.len() > MOST_LINES || self.bytes > MOST_BYTES {
            let Some(line) = self.lines.pop_front() else { return };
            self.bytes -= line.len();
            self.left_out += 1;
        }
    }
}

impl Layered {
    pub(super) async fn start_service(
        &self,
        job: &Job,
        name: &str,
        wanted: &Wanted,
        voice: &Voice,
    ) -> Result<Running, ActionError> {
        let told = |why: String| failed(format!("service `{name}`: {why}"));
        let options = Options::parse(&wanted.options).map_err(told)?;
        options.notes.iter().for_each(|note| voice.say(note));
        let patience = job.last_patience();
        let laid = self.image(job, &wanted.image, wanted.credentials.as_ref(), voice, &patience).await?;
        let exec = program(wanted, &options, &laid);
        if exec.argv.is_empty() {
            return Err(told("its image says no program, and the workflow gives none".to_owned()));
        }
        let number = self.shared().services.len();
        let plan = Plan {
            name: format!("service-{number}"),
            laid: &laid,
            options: &options,
            volumes: &wanted.volumes,
            binds: Vec::new(),
            links: Vec::new(),
            hostname: options.hostname.clone().unwrap_or_else(|| plain(name)),
            workdir: Some(exec.cwd.to_string_lossy().into_owned()),
            isolated: true,
        };
        let hostname = plan.hostname.clone();
        let Raised { sandbox, user, isolated } = self.raise(job, plan).await?;
        let mut exec = exec;
        exec.env.entry("HOSTNAME".into()).or_insert(hostname);
        exec.env.entry("HOME".into()).or_insert_with(|| user.home.unwrap_or_else(|| "/".to_owned()));
        let check = Check::of(&options.health, &laid.config, &exec);
        let process = sandbox.exec(exec.merge_output()).await.map_err(|e| told(e.to_string()))?;
        let heard = Arc::new(Mutex::new(Tail::default()));
        tokio::spawn(listen(process.stdout, heard.clone()));
        let service = Service { sandbox: sandbox.clone(), program: process.control, heard, check, isolated };
        self.shared().services.push(Arc::new(service));
        let realm = if isolated {
            let ip = self.shared().addresses.get(number).map(|(address, _)| address.ip);
            let log = voice.log.clone();
            let whose = name.to_owned();
            let say = move |text: &str| log.aside(format!("##[warning]service `{whose}`: {text}").as_bytes());
            if let Some(ip) = ip {
                let declared = declared(wanted, &options, &laid.config);
                self.mesh.join(ip, sandbox.clone(), declared, Box::new(say));
            }
            Realm::Own(sandbox.clone())
        } else {
            voice.say(&format!(
                "{name} has the machine's network: this machine gives sandboxes none of their own"
            ));
            Realm::Machine
        };
        let ports = self.publish(wanted, &options, &realm).await.map_err(told)?;
        Ok(Running { id: sandbox.id().to_owned(), ports, inside: None })
    }

    /// Lets the ports of a service be reached on 127.0.0.1.
    async fn publish(
        &self,
        wanted: &Wanted,
        options: &Options,
        realm: &Realm,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut ports = BTreeMap::new();
        for text in wanted.ports.iter().chain(&options.ports) {
            for (outer, inner) in ports_of(text)? {
                let machine = matches!(realm, Realm::Machine);
                let taken = |e: std::io::Error| {
                    format!(
                        "port {} of 127.0.0.1 cannot be had: {e}. Another job or program may have it: leave the machine's \
                         number out (`ports: [{inner}]`) and read it from `job.services.NAME.ports['{inner}']`",
                        outer.unwrap_or(0)
                    )
                };
                let port = match outer {
                    // On the machine's network it is there already.
                    None if machine => inner,
                    Some(outer) if machine && outer == inner => inner,
                    outer => self.mesh.publish(outer, realm.clone(), inner).await.map_err(taken)?,
                };
                ports.entry(inner.to_string()).or_insert_with(|| port.to_string());
            }
        }
        Ok(ports)
    }
}

impl Service {
    pub(super) fn id(&self) -> &str {
        self.sandbox.id()
    }

    /// Waits until it is well, and fails with what it said.
    pub(super) async fn well(&self, job: &Job, name: &str, voice: &Voice) -> Result<(), ActionError> {
        let ill = tokio::select! {
            ended = self.program.wait() => {
                let how = ended.map_or_else(|e| e.to_string(), |exit: Exit| exit.to_string());
                Some(format!("exited ({how})"))
            }
            healthy = self.healthy() => healthy.err().map(|why| format!("unhealthy: {why}")),
            _ = job.stop.until(Stop::is_stop) => return Err(PlaceError::Interrupted(Interruption::Cancelled)),
        };
        match ill {
            None => {
                voice.say(&format!("{name} is ready."));
                Ok(())
            }
            Some(how) => {
                // What it wrote last may still be on its way.
                tokio::time::sleep(LOOK).await;
                voice.say(&format!("##[group]What the service {name} said"));
                self.said(voice);
                voice.say("##[endgroup]");
                Err(failed(format!("the service `{name}` is {how}; what it said stands above")))
            }
        }
    }

    /// Until its check succeeds. Checks come more often than is asked for, so that no time is lost; it counts as ill when
    /// the time is over that so many checks in their intervals would take.
    async fn healthy(&self) -> Result<(), String> {
        let begin = Instant::now();
        let Some(check) = &self.check else {
            while begin.elapsed() < SETTLES {
                if self.isolated && self.sandbox.listening().await.is_ok_and(|ports| !ports.is_empty()) {
                    break;
                }
                tokio::time::sleep(LOOK).await;
            }
            return Ok(());
        };
        let end = begin + check.start_period + check.interval * check.retries.max(1);
        let mut pause = LOOK;
        loop {
            let why = match self.check_once(check).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            };
            if Instant::now() >= end {
                return Err(format!("its health check failed for {} s: {why}", begin.elapsed().as_secs()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(check.interval).min(CHECK);
        }
    }

    async fn check_once(&self, check: &Check) -> Result<(), String> {
        let process = self.sandbox.exec(check.exec.clone()).await.map_err(|e| e.to_string())?;
        let control = process.control.clone();
        let output = async {
            let mut said = Vec::new();
            let _ = process.stdout.take(4096).read_to_end(&mut said).await;
            control.wait().await.map(|exit| (exit, said)).map_err(|e| e.to_string())
        };
        match tokio::time::timeout(check.timeout, output).await {
            Ok(Ok((exit, _))) if exit.success() => Ok(()),
            Ok(Ok((exit, said))) => {
                let said = String::from_utf8_lossy(&said);
                Err(format!("{exit}: {}", said.trim().lines().last().unwrap_or("it said nothing")))
            }
            Ok(Err(why)) => Err(why),
            Err(_) => {
                let _ = control.signal(Signal::KILL).await;
                Err(format!("no answer for {} s", check.timeout.as_secs_f64()))
            }
        }
    }

    /// Shows what it said last.
    pub(super) fn said(&self, voice: &Voice) {
        let tail = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.left_out > 0 {
            voice.log.write(&format!("({} lines before are left out)", tail.left_out));
        }
        for line in &tail.lines {
            voice.log.part(&Part::Line(line));
        }
        voice.log.flush();
    }

    /// Ends it.
    pub(super) async fn end(&self) {
        if let Err(e) = self.sandbox.kill().await {
            tracing::warn!(error = %e, "the sandbox of a service did not go away");
        }
    }
}

impl Check {
    /// As `options` say, and else the image. None: there is none.
    fn of(asked: &Health, image: &ContainerConfig, service: &Exec) -> Option<Self> {
        if asked.none {
            return None;
        }
        let said = image.rest.get("Healthcheck").unwrap_or(&Json::Null);
        let words = |key: &Json| -> Vec<String> {
            key.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let shell = words(image.rest.get("Shell").unwrap_or(&Json::Null));
        let in_shell = |line: &str| {
            let shell =
                if shell.is_empty() { vec!["/bin/sh".to_owned(), "-c".to_owned()] } else { shell.clone() };
            shell.into_iter().chain([line.to_owned()]).collect::<Vec<_>>()
        };
        let test = words(&said["Test"]);
        let argv = match (&asked.command, test.split_first()) {
            (Some(line), _) => in_shell(line),
            (None, Some((kind, rest))) if kind == "CMD" && !rest.is_empty() => rest.to_vec(),
            (None, Some((kind, rest))) if kind == "CMD-SHELL" => in_shell(&rest.join(" ")),
            _ => return None,
        };
        let time = |asked: Option<Duration>, key: &str, default: u64| {
            let said = said[key].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
            asked.filter(|asked| !asked.is_zero()).or(said).unwrap_or(Duration::from_secs(default))
        };
        let retries = said["Retries"].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        Some(Self {
            exec: Exec { argv, ..service.clone() }.merge_output(),
            interval: time(asked.interval, "Interval", 30),
            timeout: time(asked.timeout, "Timeout", 30),
            start_period: time(asked.start_period, "StartPeriod", 0),
            retries: asked.retries.filter(|n| *n > 0).or(retries).unwrap_or(3),
        })
    }
}

/// What a service runs.
fn program(wanted: &Wanted, options: &Options, laid: &Laid) -> Exec {
    let config = &laid.config;
    let mut argv = match &wanted.entrypoint {
        Some(entrypoint) => vec![entrypoint.clone()],
        None => config.entrypoint.clone(),
    };
    if !wanted.command.is_empty() {
        argv.extend(wanted.command.iter().cloned());
    } else if wanted.entrypoint.is_none() {
        argv.extend(config.cmd.iter().cloned());
    }
    let mut env = environment(config);
    env.extend(options.env.iter().cloned());
    env.extend(wanted.env.iter().cloned());
    let cwd = options.workdir.clone().unwrap_or_else(|| config.working_dir.clone());
    let cwd = if cwd.is_empty() { "/".to_owned() } else { cwd };
    Exec { env, ..Exec::new(argv) }.cwd(PathBuf::from(cwd))
}

/// The pairs of ports that a text of `ports` stands for: of the machine, and of the service.
fn ports_of(text: &str) -> Result<Vec<(Option<u16>, u16)>, String> {
    let spelt = crate::docker::options::port(text, false)?;
    let (ports, protocol) = spelt.split_once('/').unwrap_or((&spelt, "tcp"));
    if protocol != "tcp" {
        return Err(format!("`ports`: `{text}` cannot be had in a sandbox, only TCP is carried"));
    }
    let mut parts = ports.rsplitn(3, ':');
    let (inner, outer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let range = |text: &str| -> Option<Vec<u16>> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to): (u16, u16) = (from.parse().ok()?, to.parse().ok()?);
        (from <= to && to - from < 256).then(|| (from..=to).collect())
    };
    let wrong = || format!("`ports`: `{text}` is no range of at most 256 ports");
    let inner = range(inner).ok_or_else(wrong)?;
    if outer.is_empty() {
        return Ok(inner.into_iter().map(|port| (None, port)).collect());
    }
    let outer = range(outer).filter(|outer| outer.len() == inner.len()).ok_or_else(wrong)?;
    Ok(outer.into_iter().map(Some).zip(inner).collect())
}

/// The ports that a service's image or the workflow names.
fn declared(wanted: &Wanted, options: &Options, image: &ContainerConfig) -> BTreeSet<u16> {
    let exposed = image.exposed_ports.keys().filter_map(|port| port.split('/').next()?.parse().ok());
    let published = wanted.ports.iter().chain(&options.ports).filter_map(|text| ports_of(text).ok());
    exposed.chain(published.flatten().map(|(_, inner)| inner)).collect()
}

/// A name as a host's.
fn plain(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' });
    plain.take(63).collect()
}

async fn listen(mut output: Output, heard: Arc<Mutex<Tail>>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 << 10];
    let keep = |part: Part<'_>| {
        let (Part::Line(line) | Part::Piece(line) | Part::Last(line)) = part;
        heard.lock().unwrap_or_else(PoisonError::into_inner).line(line);
    };
    while let Ok(n @ 1..) = output.read(&mut buffer).await {
        lines.feed(&buffer[..n], keep);
    }
    lines.finish(keep);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_pairs() {
        for (text, pairs) in [
            ("80", vec![(None, 80)]),
            ("8080:80", vec![(Some(8080), 80)]),
            ("127.0.0.1:81:80/tcp", vec![(Some(81), 80)]),
            ("80-82", vec![(None, 80), (None, 81), (None, 82)]),
            ("90-91:80-81", vec![(Some(90), 80), (Some(91), 81)]),
        ] {
            assert_eq!(ports_of(text), Ok(pairs), "{text}");
        }
        for (bad, why) in [
            ("53/udp", "only TCP"),
            ("1-2:3", "range"),
            ("9-1", "range"),
            ("0.0.0.0:1:1", "0.0.0.0"),
            ("x", "PORT"),
        ] {
            assert!(ports_of(bad).unwrap_err().contains(why), "{bad}: {:?}", ports_of(bad));
        }
    }

    #[test]
    fn a_check_is_the_images_unless_something_else_is_asked() {
        let image: ContainerConfig = serde_json::from_value(serde_json::json!({
            "Healthcheck": {"Test": ["CMD-SHELL", "probe x"], "Interval": 5_000_000_000u64, "Retries": 2},
        }))
        .unwrap();
        let service = Exec::new(["serve"]).cwd("/srv");
        let check = Check::of(&Health::default(), &image, &service).unwrap();
        assert_eq!(check.exec.argv, ["/bin/sh", "-c", "probe x"]);
        assert_eq!(
            (check.interval, check.retries, check.exec.cwd.as_path()),
            (Duration::from_secs(5), 2, "/srv".as_ref())
        );
        let asked = Health { command: Some("mine".into()), retries: Some(9), ..Health::default() };
        let check = Check::of(&asked, &image, &service).unwrap();
        assert_eq!((check.exec.argv[2].as_str(), check.retries), ("mine", 9));
        assert_eq!(Check::of(&Health { none: true, ..asked }, &image, &service), None);
        for none in [serde_json::json!({}), serde_json::json!({"Healthcheck": {"Test": ["NONE"]}})] {
            assert_eq!(Check::of(&Health::default(), &serde_json::from_value(none).unwrap(), &service), None);
        }
    }

    #[test]
    fn the_last_lines_are_kept() {
        let mut tail = Tail::default();
        for n in 0..MOST_LINES + 5 {
            tail.line(n.to_string().as_bytes());
        }
        assert_eq!((tail.lines.len(), tail.left_out), (MOST_LINES, 5));
        tail.line(&vec![b'x'; MOST_BYTES]);
        assert_eq!(tail.lines.len(), 1);
    }
}
