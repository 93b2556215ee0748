//! A layer's files as a tree of folders to fold, and windows on long lists. Markup made of fixed parts and escaped text.

use windlass_api::TreeRow;

use crate::view::{Raw, bytes, escape, icon, octal};

/// With more rows than this, folders inside of others begin folded.
const MANY: usize = 80;

/// Rows in the order of a tree as lists in lists. `address` gives the page of a folder that is not told here.
pub(crate) fn tree(rows: &[TreeRow], address: impl Fn(&str) -> String) -> Raw {
    let mut out = String::from("<ul class=\"files\">");
    let mut depth = 0;
    for (at, row) in rows.iter().enumerate() {
        for _ in row.depth..depth {
            out.push_str("</ul></details></li>");
        }
        depth = row.depth;
        if row.open {
            let open = if row.depth == 0 || rows.len() <= MANY { " open" } else { "" };
            out.push_str(&format!("<li><details{open}><summary>{}</summary><ul>", line(row, None)));
            depth += 1;
            // A folder that is told whole and has nothing in it would stay open in the markup.
            if rows.get(at + 1).is_none_or(|next| next.depth < depth) {
                out.push_str("</ul></details></li>");
                depth -= 1;
            }
        } else {
            let page = (row.kind == "folder" && row.entries > 0).then(|| address(&row.path));
            out.push_str(&format!("<li>{}</li>", line(row, page.as_deref())));
        }
    }
    for _ in 0..depth {
        out.push_str("</ul></details></li>");
    }
    out.push_str("</ul>");
    Raw(out)
}

fn line(row: &TreeRow, page: Option<&str>) -> String {
    let folder = row.kind == "folder";
    let slash = if folder { "/" } else { "" };
    let name = match page {
        Some(page) => format!("<a href=\"{}\">{}{slash}</a>", escape(page), escape(&row.name)),
        None => format!("<span>{}{slash}</span>", escape(&row.name)),
    };
    let target = row.target.as_ref().map(|t| format!(" <span class=\"dim\">→ {}</span>", escape(t)));
    let many =
        if folder && row.entries > 0 { format!("{} in it", grouped(row.entries)) } else { String::new() };
    let kind = if folder || row.kind == "file" { "" } else { row.kind.as_str() };
    let size = match (folder || row.kind == "file", row.change.as_str(), row.before) {
        (false, ..) => String::new(),
        (_, "removed", Some(before)) => format!("−{}", bytes(&before)),
        (_, "removed", None) => String::new(),
        (_, "changed", Some(before)) if before != row.size => {
            format!("{} → {}", bytes(&before), bytes(&row.size))
        }
        _ => bytes(&row.size),
    };
    format!(
        "<span class=\"f {tone}\">{icon}<span class=\"name mono\">{name}{target}</span><span class=\"dim\">{kind}{many}</span>{change}<span class=\"mode mono dim\">{mode}</span><span class=\"size num\">{size}</span></span>",
        tone = tone(&row.change),
        icon = icon(if folder { "folder" } else { "file" }),
        target = target.unwrap_or_default(),
        change = mark(&row.change),
        kind = escape(kind),
        mode = octal(&row.mode),
    )
}

fn tone(change: &str) -> &'static str {
    match change {
        "added" => "added",
        "changed" => "changed",
        "removed" => "removed",
        "repeated" => "repeated",
        _ => "",
    }
}

/// What happened to a file, as a sign and a word.
pub(crate) fn mark(change: &str) -> Raw {
    let (sign, word) = match change {
        "added" => ("+", "added"),
        "changed" => ("±", "changed"),
        "removed" => ("−", "removed"),
        "repeated" => ("=", "again"),
        _ => return Raw("<span class=\"ch\"></span>".to_owned()),
    };
    Raw(format!("<span class=\"ch {}\"><span aria-hidden=\"true\">{sign}</span> {word}</span>", tone(change)))
}

/// A number with its thousands apart: `10,000`.
pub(crate) fn grouped(number: impl std::fmt::Display) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The way to the parts of a long list that are not shown: `address` gives the page that begins at a place.
pub(crate) fn pager(
    what: &str,
    (from, shown, per): (u64, usize, u64),
    total: u64,
    address: impl Fn(u64) -> String,
) -> Raw {
    /// From so many parts on, the last one is offered too.
    const STEPS: u64 = 5;
    let shown = shown as u64;
    if from == 0 && shown >= total {
        return Raw(String::new());
    }
    let link = |at: u64, text: &str, rel: &str| {
        format!("<a class=\"button\" rel=\"{rel}\" href=\"{}\">{text}</a>", escape(&address(at)))
    };
    let mut out = format!("<nav class=\"pager pad\" aria-label=\"Parts of the {}\">", escape(what));
    if from > 0 {
        out.push_str(&link(from.saturating_sub(per), "← Before", "prev"));
    }
    let range = if shown == 0 {
        format!("nothing from {} on", grouped(from.saturating_add(1)))
    } else {
        format!(
            "{}–{} of {}",
            grouped(from.saturating_add(1)),
            grouped(from.saturating_add(shown)),
            grouped(total)
        )
    };
    out.push_str(&format!("<span class=\"num\">{range}</span>"));
    if shown > 0 && from + shown < total {
        out.push_str(&link(from + shown, "Next →", "next"));
        let last = (total - 1) / per * per;
        if last > from.saturating_add(STEPS * per) {
            out.push_str(&link(last, "Last", "last"));
        }
    }
    out.push_str("</nav>");
    Raw(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(depth: u32, name: &str, kind: &str, change: &str, open: bool) -> TreeRow {
        TreeRow {
            depth,
            name: name.into(),
            path: name.into(),
            kind: kind.into(),
            change: change.into(),
            size: 5,
            before: Some(3),
            mode: 0o644,
            target: None,
            entries: u64::from(kind == "folder"),
            open,
        }
    }

    fn balanced(html: &str) {
        for tag in ["ul", "li", "details", "span", "a"] {
            let opened =
                html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag} in {html}");
        }
    }

    #[test]
    fn folders_hold_what_follows_deeper() {
        let rows = [
            row(0, "a", "folder", "", true),
            row(1, "a/b", "folder", "added", true),
            row(2, "x<y", "file", "added", false),
            row(1, "gone", "file", "removed", false),
            row(0, "big", "folder", "", false),
            row(0, "other", "file", "changed", false),
        ];
        let html = tree(&rows, |path| format!("/layer?folder={path}")).0;
        balanced(&html);
        assert!(html.contains("x&lt;y") && !html.contains("x<y"));
        assert!(html.contains("<a href=\"/layer?folder=big\">big/</a>"), "{html}");
        assert!(html.contains("−3 B") && html.contains("3 B → 5 B"));
        assert!(html.find("gone").unwrap() < html.find("big").unwrap());
        let words: Vec<usize> =
            ["added", "removed", "changed"].map(|w| html.matches(&format!("> {w}<")).count()).to_vec();
        assert_eq!(words, [2, 1, 1], "a change is said, not only coloured");
    }

    #[test]
    fn whatever_the_rows_are_the_markup_is_whole() {
        for rows in [
            vec![],
            vec![row(0, "empty", "folder", "added", true)],
            vec![row(0, "empty", "folder", "added", true), row(0, "next", "file", "added", false)],
            vec![
                row(0, "a", "folder", "", true),
                row(1, "b", "folder", "", true),
                row(2, "c", "folder", "", true),
            ],
        ] {
            balanced(&tree(&rows, str::to_owned).0);
        }
        let many: Vec<TreeRow> = std::iter::once(row(0, "a", "folder", "", true))
            .chain([row(1, "b", "folder", "", true)])
            .chain((0..100).map(|n| row(2, &n.to_string(), "file", "added", false)))
            .collect();
        let html = tree(&many, str::to_owned).0;
        balanced(&html);
        assert_eq!((html.matches("<details open>").count(), html.matches("<details>").count()), (1, 1));
    }

    #[test]
    fn windows_lead_to_what_they_do_not_show() {
        let at = |from: u64| format!("?from={from}");
        assert_eq!(pager("tags", (0, 7, 100), 7, at).0, "");
        let first = pager("tags", (0, 100, 100), 10_000, at).0;
        for part in ["1–100 of 10,000", "?from=100", "?from=9900"] {
            assert!(first.contains(part), "{part} is not in {first}");
        }
        assert!(!first.contains("Before"));
        let middle = pager("tags", (300, 100, 100), 10_000, at).0;
        assert!(middle.contains("?from=200") && middle.contains("?from=400"), "{middle}");
        let last = pager("tags", (9_900, 100, 100), 10_000, at).0;
        assert!(last.contains("?from=9800") && !last.contains("Next"), "{last}");
        let short = pager("tags", (200, 50, 100), 250, at).0;
        assert!(short.contains("201–250 of 250"), "{short}");
        assert!(pager("tags", (500, 0, 100), 250, at).0.contains("nothing from 501 on"));
        assert!(
            pager("tags", (u64::MAX, 0, 100), 250, at).0.contains("nothing from"),
            "whatever an address says"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }
}
