//! Ruby's installed gems, by their specifications.

use crate::package::{Kind, Package};

pub(super) fn package(path: &str, text: &str) -> Option<Package> {
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (left, right) = line.split_once('=')?;
            (left.trim() == format!("s.{name}")).then(|| quoted(right)).flatten()
        })
    };
    // A specification that is no plain text still has its file's name.
    let file = path.rsplit('/').next()?.strip_suffix(".gemspec")?;
    let (of_file, version) = file.rsplit_once('-')?;
    let name = field("name").unwrap_or_else(|| of_file.to_owned());
    let version = field("version").unwrap_or_else(|| version.to_owned());
    let licences = text.lines().find_map(|line| {
        let (left, right) = line.split_once('=')?;
        matches!(left.trim(), "s.licenses" | "s.license").then(|| every_quoted(right))
    });
    Some(Package { licences: licences.unwrap_or_default(), ..Package::new(Kind::Gem, name, version) })
}

fn quoted(text: &str) -> Option<String> {
    every_quoted(text).into_iter().next()
}

fn every_quoted(text: &str) -> Vec<String> {
    let parts = text.split('"').skip(1).step_by(2);
    parts.map(str::to_owned).filter(|part| !part.is_empty() && part.len() <= 200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_read() {
        let text = "Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"2.2.4\"\n\
            s.licenses = [\"MIT\".freeze, \"Ruby\".freeze]\nend\n";
        let found = package("usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.4.gemspec", text).unwrap();
        assert_eq!((found.name.as_str(), found.version.as_str()), ("rack", "2.2.4"));
        assert_eq!(found.licences, ["MIT", "Ruby"]);
        let bare = package("specifications/net-http-0.3.2.gemspec", "").unwrap();
        assert_eq!((bare.name.as_str(), bare.version.as_str()), ("net-http", "0.3.2"));
    }
}
