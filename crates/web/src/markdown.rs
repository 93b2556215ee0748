//! Markdown from outside (job summaries, a project's README) as HTML that can do no harm.

use comrak::Options;

use crate::view::Raw;

/// Renders GitHub's Markdown. Raw HTML in it passes only as far as it is harmless: no scripts, no styles, no forms, and
/// ids and classes of its own so that it cannot pose as a part of the page.
pub(crate) fn render(text: &str) -> Raw {
    let mut options = Options::default();
    options.extension.strikethrough = true;
    options.extension.table = true;
    options.extension.autolink = true;
    options.extension.tasklist = true;
    options.extension.footnotes = true;
    options.extension.alerts = true;
    options.render.r#unsafe = true;
    let html = comrak::markdown_to_html(text, &options);
    let mut cleaner = ammonia::Builder::default();
    cleaner.add_tags(["input", "details", "summary"]);
    cleaner.add_tag_attributes("input", ["checked", "disabled"]);
    cleaner.set_tag_attribute_value("input", "type", "checkbox");
    cleaner.add_tag_attributes("details", ["open"]);
    cleaner.add_tag_attributes("td", ["align"]).add_tag_attributes("th", ["align"]);
    cleaner.id_prefix(Some("md-")).link_rel(Some("noopener noreferrer nofollow"));
    Raw(cleaner.clean(&html).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_harmless_passes_and_the_rest_does_not() {
        let html = render("# Hi\n\n| a | b |\n|---|:-:|\n| 1 | ~~2~~ |\n\n- [x] done\n\n<details><summary>more</summary>x</details>").0;
        for part in ["<h1>", "<table>", "<del>2</del>", "checkbox", "<details>"] {
            assert!(html.contains(part), "{part} in {html}");
        }
        for bad in [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "[x](javascript:alert(1))",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<form action=/sign-out method=post><button>x</button></form>",
            "<style>body{display:none}</style>",
            "<p style='position:fixed'>x</p>",
            "<iframe src=//evil.example></iframe>",
        ] {
            let html = render(bad).0.to_lowercase();
            for part in ["script", "onerror", "<form", "<button", "<style", "style=", "<iframe"] {
                assert!(!html.contains(part), "{bad} gives {html}");
            }
        }
    }
}
