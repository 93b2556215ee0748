//! What is written of a project: the Dockerfile of its layers, the one that builds it anywhere, and a report.

use std::fmt::Write as _;

use super::texts::{json, quoted, shell};
use super::{Copying, Ground, Layer, NEVER, Project, Step, USER, Where};

/// A text of a Dockerfile ends with this line.
const END: &str = "WINDLASS_END";

impl Project {
    /// The Dockerfile that puts the layers together, with `{out}` as its context.
    pub fn assembly(&self) -> String {
        let mut text = match &self.ground {
            Ground::Scratch => String::from("FROM scratch\n"),
            Ground::Machine => String::from("FROM scratch\nLABEL dev.windlass.base=machine\n"),
            Ground::Image(name) => format!("FROM {name}\n"),
        };
        for layer in &self.layers {
            copy(&mut text, layer, "", &layer.from);
        }
        self.end(&mut text);
        text
    }

    /// A Dockerfile that builds the project anywhere.
    pub fn dockerfile(&self) -> String {
        let mut text = format!(
            "# syntax=docker/dockerfile:1\n# Written by windlass build --auto for a {} project.\n\n\
             FROM scratch AS source\nCOPY ",
            self.kind.name()
        );
        for pattern in NEVER {
            _ = write!(text, "--exclude={pattern} ");
        }
        text.push_str(". /\n\n");
        let built = self.stage(&mut text);
        let last = match &self.ground {
            Ground::Scratch => "scratch",
            Ground::Machine => &self.images.1,
            Ground::Image(name) => name,
        };
        _ = writeln!(text, "FROM {last}");
        for layer in &self.layers {
            if let Some((image, path)) = layer.there {
                copy(&mut text, layer, &format!("--from={image} "), path);
                continue;
            }
            match layer.from.strip_prefix("src").filter(|_| !built) {
                Some(below) => {
                    let below = if below.is_empty() { "/" } else { below };
                    copy(&mut text, layer, "--from=source ", below);
                }
                None => {
                    let from = match layer.from.strip_prefix("src") {
                        Some(below) => format!("/src{below}"),
                        None => format!("/out/{}", layer.from),
                    };
                    copy(&mut text, layer, "--from=build ", &from);
                }
            }
        }
        self.end(&mut text);
        text
    }

    /// The stage that builds; false if nothing has to be built.
    fn stage(&self, text: &mut String) -> bool {
        let steps: Vec<&Step> = self.steps.iter().filter(|step| step.place != Where::Here).collect();
        if steps.is_empty() && self.layers.iter().all(|layer| layer.from.starts_with("src")) {
            return false;
        }
        let image = if self.images.0.is_empty() { &self.images.1 } else { &self.images.0 };
        _ = writeln!(text, "FROM {image} AS build\nWORKDIR /out\nWORKDIR /src");
        for (path, content) in &self.texts {
            // A quoted end: nothing in it is expanded.
            _ = writeln!(text, "COPY <<\"{END}\" /out/{path}\n{content}{END}");
        }
        let early = steps.iter().take_while(|step| step.early).count();
        if early > 0 && !self.manifests.is_empty() {
            let mut words: Vec<&str> = self.manifests.iter().map(String::as_str).collect();
            words.push("./");
            _ = writeln!(text, "COPY --from=source --parents {}", json(words));
        }
        for step in &steps[..early] {
            self.run(text, step);
        }
        _ = writeln!(text, "COPY --from=source / ./");
        for step in &steps[early..] {
            self.run(text, step);
        }
        if self.ground == Ground::Scratch {
            text.push_str("RUN mkdir -p -m 1777 /out/ground/tmp");
            if self.certificates {
                text.push_str(
                    " && \\\n    mkdir -p /out/ground/etc/ssl/certs && cp /etc/ssl/certs/ca-certificates.crt /out/ground/etc/ssl/certs/",
                );
            }
            text.push('\n');
        }
        text.push('\n');
        true
    }

    fn run(&self, text: &mut String, step: &Step) {
        text.push_str("RUN ");
        for cache in &self.caches {
            _ = write!(text, "--mount=type=cache,target={cache} \\\n    ");
        }
        let filled = |word: &str| {
            let known = word.replace("{src}", "/src").replace("{out}", "/out");
            shell(&known.replace("{arch}", "%arch%")).replace("%arch%", "$(uname -m)")
        };
        for (name, value) in &step.env {
            _ = write!(text, "{name}={} ", filled(value));
        }
        let words: Vec<String> = step.argv.iter().map(|word| filled(word)).collect();
        _ = writeln!(text, "{}", words.join(" "));
    }

    fn end(&self, text: &mut String) {
        for (name, value) in &self.env {
            _ = writeln!(text, "ENV {name}={}", quoted(value));
        }
        if let Some(version) = &self.version {
            _ = writeln!(text, "LABEL org.opencontainers.image.version={}", quoted(version));
        }
        _ = writeln!(text, "WORKDIR {}\nUSER {USER}", self.folder);
        if let Some(port) = self.port {
            _ = writeln!(text, "EXPOSE {port}");
        }
        if let Some(signal) = self.stop {
            _ = writeln!(text, "STOPSIGNAL {signal}");
        }
        _ = writeln!(text, "ENTRYPOINT {}", json(self.entrypoint.iter().map(String::as_str)));
    }

    /// What was found, as lines for a person.
    pub fn report(&self) -> String {
        let version = self.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
        let mut text = format!("{} project '{}'{version}\n", self.kind.name(), self.name);
        for finding in &self.found {
            _ = writeln!(text, "  {:<28} {}", finding.what, finding.why);
        }
        for step in self.steps.iter().filter(|step| step.place != Where::There) {
            _ = writeln!(text, "  runs    {}", step.argv.join(" "));
        }
        for layer in &self.layers {
            _ = writeln!(text, "  layer   {} in {}", layer.name, layer.to);
        }
        let ground = match &self.ground {
            Ground::Scratch => "nothing: the program needs nothing else",
            Ground::Machine => "the machine's own root, which has the interpreter",
            Ground::Image(name) => name,
        };
        _ = writeln!(text, "  base    {ground}\n  user    {USER}\n  starts  {}", self.entrypoint.join(" "));
        if let Some(port) = self.port {
            _ = writeln!(text, "  port    {port}, or what PORT says");
        }
        text
    }
}

/// One layer.
fn copy(text: &mut String, layer: &Layer, stage: &str, from: &str) {
    _ = write!(text, "COPY {stage}");
    if layer.copying == Copying::WithFolders {
        text.push_str("--parents ");
    }
    if layer.copying != Copying::AsTheyAre {
        text.push_str("--chmod=u+rwX,go+rX,go-w ");
    }
    for pattern in &layer.exclude {
        _ = write!(text, "--exclude={pattern} ");
    }
    _ = writeln!(text, "{}", json([from, &layer.to]));
}
