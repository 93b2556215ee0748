//! Holds ARCHITECTURE.md to the code: its table of crates is the table of arrows, and every place that it names in
//! the repository is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};

use crate::root;

const PAGE: &str = "ARCHITECTURE.md";
/// The section whose table is compared.
const SECTION: &str = "## Crates";
/// Where a place in the repository begins; a file at its root is named with its ending.
const FOLDERS: [&str; 6] = ["crates/", "xtask/", "docs/", "apps/", ".ci/", ".cargo/"];
const ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".sql"];

/// Compares the page with the arrows and the files.
pub(super) fn check(arrows: &[(&str, &[&str])], breaches: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    table(&text, arrows, breaches);
    for (line, place) in places(&text) {
        if let Some(why) = missing(root().as_path(), place) {
            breaches.push(format!("{PAGE}:{line}: {why}"));
        }
    }
    Ok(())
}

fn table(text: &str, arrows: &[(&str, &[&str])], breaches: &mut Vec<String>) {
    let told = rows(text);
    let held: BTreeMap<&str, BTreeSet<&str>> =
        arrows.iter().map(|(name, to)| (*name, to.iter().copied().collect())).collect();
    for (name, to) in &held {
        match told.get(name) {
            None => breaches.push(format!("{PAGE}: the table of crates has no row for {name}")),
            Some(row) if row != to => breaches.push(format!(
                "{PAGE}: the table of crates lets {name} depend on {row:?}, xtask/src/tidy.rs on {to:?}"
            )),
            Some(_) => {}
        }
    }
    for name in told.keys().filter(|name| !held.contains_key(*name)) {
        breaches.push(format!(
            "{PAGE}: the table of crates has a row for {name}, which xtask/src/tidy.rs has not"
        ));
    }
}

/// The rows of the table: the crate in the first column, what it may depend on in the last.
fn rows(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let section = text.lines().skip_while(|line| *line != SECTION).skip(1);
    let rows = section.take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
    rows.filter_map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(str::trim);
        let (name, to) = (cells.next()?, cells.next_back()?);
        let header = name == "crate" || name.starts_with("---");
        (!header).then(|| (name, to.split(", ").filter(|to| !to.is_empty() && *to != "–").collect()))
    })
    .collect()
}

/// What stands in backticks and looks like a place in the repository, with its line.
fn places(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let marked = text.lines().enumerate().flat_map(|(number, line)| {
        line.split('`').skip(1).step_by(2).map(move |marked| (number + 1, marked))
    });
    marked.filter(|(_, marked)| {
        let file = marked.split("::").next().unwrap_or_default();
        let at_root = !file.contains('/') && ENDINGS.iter().any(|ending| file.ends_with(ending));
        !marked.contains([' ', '*', '{'])
            && (at_root || FOLDERS.iter().any(|folder| file.starts_with(folder)))
    })
}

/// Why `FILE` or `FILE::NAME` is not there. The last part of a name is looked for as an item.
fn missing(root: &Path, place: &str) -> Option<String> {
    let (file, name) = match place.split_once("::") {
        Some((file, name)) => (file, name.rsplit("::").next()),
        None => (place, None),
    };
    let path = root.join(file);
    if !path.exists() {
        return Some(format!("there is no {file}"));
    }
    let name = name?;
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let item = |line: &str| {
        ["fn", "struct", "enum", "trait", "type", "const", "static", "mod"].iter().any(|kind| {
            let mut words =
                line.split([' ', '(', '<', ':', ';', '{', '=']).skip_while(|word| word != kind).skip(1);
            words.next() == Some(name)
        })
    };
    (!text.lines().any(item)).then(|| format!("there is no `{name}` in {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a `crates/x` of elsewhere\n## Crates\n\n| crate | role | may depend on |\n| --- | --- | --- |\n\
                        | kernel | ids | – |\n| api | wire, all | kernel, web |\n## Next\n| no | row | kernel |\n";

    #[test]
    fn a_row_that_differs_is_missing_or_is_too_many_is_told() {
        let mut breaches = Vec::new();
        table(TEXT, &[("kernel", &[]), ("api", &["web", "kernel"])], &mut breaches);
        assert_eq!(breaches, Vec::<String>::new());
        table(TEXT, &[("api", &["kernel"]), ("store", &[])], &mut breaches);
        assert_eq!(breaches.len(), 3, "{breaches:?}");
    }

    #[test]
    fn only_what_looks_like_a_place_is_one() {
        let text =
            "`crates/a.rs::B::c` and `A::b`, `windlass up`, `docs/x y`\n`deny.toml` `DATA/db` `crates/*`";
        let found: Vec<_> = places(text).collect();
        assert_eq!(found, [(1, "crates/a.rs::B::c"), (2, "deny.toml")]);
    }

    #[test]
    fn files_and_the_items_in_them_are_looked_for() {
        let here = root();
        for there in
            ["xtask/src/tidy.rs", "xtask/src", "xtask/src/tidy.rs::run", "xtask/src/tidy.rs::X::ARROWS"]
        {
            assert_eq!(missing(&here, there), None, "{there}");
        }
        for gone in ["xtask/src/nothing.rs", "xtask/src/tidy.rs::no_such", "xtask/src/tidy.rs::breach"] {
            assert!(missing(&here, gone).is_some(), "{gone}");
        }
    }
}
