//! `options`, `volumes` and `ports` of a container, as arguments of `docker create`. What would give the job power over
//! the machine is refused, unless the operator lets jobs use the whole engine.

use std::path::{Component, Path, PathBuf};

/// Options that take a value and stay within the container, or bound it.
const WITH_VALUE: &[&str] = &[
    "--add-host",
    "--cap-drop",
    "--cpu-period",
    "--cpu-quota",
    "--cpu-shares",
    "--cpus",
    "--cpuset-cpus",
    "--dns",
    "--dns-option",
    "--dns-search",
    "--domainname",
    "--env",
    "--expose",
    "--group-add",
    "--health-cmd",
    "--health-interval",
    "--health-retries",
    "--health-start-period",
    "--health-timeout",
    "--hostname",
    "--label",
    "--mac-address",
    "--memory",
    "--memory-reservation",
    "--memory-swap",
    "--memory-swappiness",
    "--network-alias",
    "--pids-limit",
    "--platform",
    "--shm-size",
    "--stop-signal",
    "--stop-timeout",
    "--tmpfs",
    "--ulimit",
    "--user",
    "--workdir",
];
/// Those without one.
const ALONE: &[&str] = &["--init", "--interactive", "--no-healthcheck", "--read-only", "--tty"];
/// Short forms.
const SHORT: &[(&str, &str)] = &[
    ("-c", "--cpu-shares"),
    ("-e", "--env"),
    ("-h", "--hostname"),
    ("-i", "--interactive"),
    ("-l", "--label"),
    ("-m", "--memory"),
    ("-t", "--tty"),
    ("-u", "--user"),
    ("-w", "--workdir"),
];
/// How the labels of what Windlass makes begin.
const LABELS: &str = "windlass.";
/// What the language itself takes away.
const NEVER: &[&str] = &["--network", "--net", "--entrypoint"];
/// Folders of a container that are the job's own.
const OWN: &[&str] = &["/__w", "/__t", "/__e", "/github"];

/// The words of `options`, checked.
pub(super) fn options(words: &[String], free: bool) -> Result<Vec<String>, String> {
    let mut checked = Vec::new();
    let mut rest = words.iter().cloned();
    while let Some(word) = rest.next() {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) if word.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        if NEVER.contains(&name.as_str()) {
            return Err(format!(
                "`options` of a container cannot have {name}: the job's network and entry point are set"
            ));
        }
        if free {
            checked.push(word);
            continue;
        }
        if !name.starts_with('-') {
            return Err(format!("`{name}` in `options` is no option"));
        }
        let name =
            SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| (*long).to_owned());
        if ALONE.contains(&name.as_str()) {
            checked.push(word);
        } else if WITH_VALUE.contains(&name.as_str()) {
            let value =
                value.or_else(|| rest.next()).ok_or_else(|| format!("`{name}` in `options` has no value"))?;
            check_value(&name, &value)?;
            checked.extend([name, value]);
        } else if name == "--security-opt" && value.as_deref() == Some("no-new-privileges") {
            checked.push(word);
        } else {
            return Err(refused(&format!("`options` with {name}")));
        }
    }
    Ok(checked)
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    match name {
        "--label" if value.starts_with(LABELS) => {
            Err(format!("labels that begin with `{LABELS}` are Windlass' own"))
        }
        // A name alone would be looked up in the environment of the runner.
        "--env" if !value.contains('=') => Err(format!("`--env {value}` in `options` has no value")),
        _ => Ok(()),
    }
}

fn refused(what: &str) -> String {
    format!(
        "{what} would reach beyond the job, which the runner's operator does not permit \
         (WINDLASS_DOCKER=allowed lets jobs use the whole engine)"
    )
}

/// A volume for `--volume`. `named` turns the name of a volume into one that no other job has.
pub(crate) fn volume(
    text: &str,
    free: bool,
    work: &Path,
    named: impl FnOnce(&str) -> String,
) -> Result<String, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, inside, mode) = match parts.as_slice() {
        [inside] => (None, *inside, None),
        [source, inside] => (Some(*source), *inside, None),
        [source, inside, mode] => (Some(*source), *inside, Some(*mode)),
        _ => return Err(format!("`volumes`: `{text}` is not [SOURCE:]FOLDER[:MODE]")),
    };
    if !inside.starts_with('/') || inside == "/" {
        return Err(format!("`volumes`: `{text}` must name a folder of the container, from its root"));
    }
    let folder = Path::new(inside);
    if OWN.iter().any(|own| folder.starts_with(own)) || folder.components().any(|c| c == Component::ParentDir)
    {
        return Err(format!("`volumes`: `{inside}` is the job's own folder, nothing else can be there"));
    }
    let source = match source {
        None => return Ok(inside.to_owned()),
        Some(source) if source.starts_with(['/', '.', '~']) => {
            if !free && !below(Path::new(source), work) {
                return Err(refused(&format!("`volumes`: the machine's folder `{source}`")));
            }
            source.to_owned()
        }
        Some(name) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(format!("`volumes`: `{name}` cannot be the name of a volume"));
            }
            if free { name.to_owned() } else { named(name) }
        }
    };
    Ok([Some(source.as_str()), Some(inside), mode].into_iter().flatten().collect::<Vec<_>>().join(":"))
}

/// Whether a folder lies in the job's own, links followed.
fn below(folder: &Path, work: &Path) -> bool {
    let plain = folder.components().all(|part| !matches!(part, Component::ParentDir));
    let real =
        |path: &Path| -> Option<PathBuf> { path.ancestors().find_map(|path| path.canonicalize().ok()) };
    plain
        && folder.starts_with(work)
        && real(folder).zip(work.canonicalize().ok()).is_some_and(|(f, w)| f.starts_with(w))
}

/// A port for `--publish`: on this machine only, and any that is free if none is named.
pub(crate) fn port(text: &str, free: bool) -> Result<String, String> {
    let (ports, protocol) =
        text.split_once('/').map_or((text, None), |(ports, protocol)| (ports, Some(protocol)));
    let wrong = || format!("`ports`: `{text}` is not PORT, HOST:PORT or one of them with /udp");
    let number =
        |text: &str| text.split('-').all(|n| n.parse::<u16>().is_ok_and(|n| n > 0)) && !text.is_empty();
    if !protocol.is_none_or(|protocol| ["tcp", "udp", "sctp"].contains(&protocol)) {
        return Err(wrong());
    }
    let published = match ports.split(':').collect::<Vec<_>>().as_slice() {
        [inside] if number(inside) => format!("127.0.0.1::{inside}"),
        ["", inside] if number(inside) => format!("127.0.0.1::{inside}"),
        [outside, inside] if number(outside) && number(inside) => format!("127.0.0.1:{outside}:{inside}"),
        [address, outside, inside] if number(inside) && (outside.is_empty() || number(outside)) => {
            if !free && *address != "127.0.0.1" {
                return Err(refused(&format!("`ports`: the address `{address}`")));
            }
            format!("{address}:{outside}:{inside}")
        }
        _ => return Err(wrong()),
    };
    Ok(protocol.map_or(published.clone(), |protocol| format!("{published}/{protocol}")))
}

/// Whether it can be an image, and not an option.
pub(super) fn plain_image(image: &str) -> bool {
    !image.is_empty()
        && image.len() <= 500
        && image.starts_with(|c: char| c.is_ascii_alphanumeric())
        && image.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@[]".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str, free: bool) -> Result<Vec<String>, String> {
        super::options(&crate::container::words(text).unwrap(), free)
    }

    #[test]
    fn options_that_reach_beyond_the_job_are_refused() {
        for good in [
            "",
            "--health-cmd pg_isready --health-interval=10s --health-timeout 5s --health-retries 5",
            "--user 1001 --cpus=1 -e A=1 --init",
            "--hostname db --tmpfs /x --ulimit nofile=1024:1024 --security-opt=no-new-privileges",
        ] {
            options(good, false).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
        for bad in [
            "--privileged",
            "-v /:/host",
            "--volume=/:/host",
            "--mount type=bind,src=/,dst=/x",
            "--pid host",
            "--pid=host",
            "--cap-add=ALL",
            "--device /dev/sda",
            "--security-opt seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--userns=host",
            "--env-file /etc/shadow",
            "--cidfile /etc/x",
            "--volumes-from other",
            "--runtime x",
            "--cgroup-parent=/",
            "--label windlass.owner=x",
            "-e HOME",
            "--user",
            "image",
        ] {
            assert!(options(bad, false).is_err(), "{bad}");
        }
        for never in ["--network host", "--network=host", "--net=host", "--entrypoint x"] {
            assert!(options(never, false).is_err(), "{never}");
            assert!(options(never, true).is_err(), "{never}");
        }
        assert_eq!(options("--privileged -v /:/x", true).unwrap().len(), 3);
    }

    #[test]
    fn volumes_are_the_jobs_own() {
        let work = std::env::temp_dir().join(format!("volumes-{}", std::process::id()));
        std::fs::create_dir_all(work.join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", work.join("out")).unwrap();
        let volume = |text: &str| super::volume(text, false, &work, |name| format!("job-{name}"));
        let own = |rest: &str| format!("{}{rest}", work.display());
        assert_eq!(volume("data:/data:ro").unwrap(), "job-data:/data:ro");
        assert_eq!(volume("/data").unwrap(), "/data");
        for good in ["/in:/x", "/in/new:/x:ro", ":/x"] {
            assert_eq!(volume(&own(good)).unwrap(), own(good));
        }
        for bad in [
            "/:/host",
            "/var/run/docker.sock:/var/run/docker.sock",
            "./x:/y",
            "~/x:/y",
            "a:b",
            "a:/",
            "a:/__w/x",
            "a:/__e",
            "a:/x/../__e",
            "/github/home",
            "a b:/x",
            "a:/b:c:d",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
        assert!(volume(&own("/out:/x")).is_err());
        assert!(volume(&own("/in/../../x:/x")).is_err());
        std::fs::remove_dir_all(&work).unwrap();
    }

    #[test]
    fn ports_are_published_on_this_machine_only() {
        for (text, published) in [
            ("80", "127.0.0.1::80"),
            ("8080:80", "127.0.0.1:8080:80"),
            ("8080:80/udp", "127.0.0.1:8080:80/udp"),
            ("53/udp", "127.0.0.1::53/udp"),
            ("127.0.0.1:81:80", "127.0.0.1:81:80"),
        ] {
            assert_eq!(port(text, false).unwrap(), published, "{text}");
        }
        for bad in ["", "x", "0", "80:x", "0.0.0.0:80:80", "1:2:3:4", "80/x", "70000"] {
            assert!(port(bad, false).is_err(), "{bad}");
        }
        assert_eq!(port("0.0.0.0:80:80", true).unwrap(), "0.0.0.0:80:80");
    }

    #[test]
    fn what_could_be_an_option_is_no_image() {
        for image in ["alpine", "library/alpine:3", "ghcr.io/a/b@sha256:00", "localhost:5000/b"] {
            assert!(plain_image(image), "{image}");
        }
        for bad in ["", "-v", "--privileged", "a b", "a;b", "$(x)"] {
            assert!(!plain_image(bad), "{bad}");
        }
    }
}
