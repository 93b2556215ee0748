//! The pages of images in a real browser, over a real platform: from a push to the image's page, its packages and files,
//! its evidence, and the refusal of an environment that asks for more.

use std::path::Path;

use serde_json::{Value, json};
use windlass_api::Conclusion;

use crate::platform::{App, Platform, job, program};

const NAME: &str = "pages: images in a browser";
const BROWSER: &str = "playwright-core@1.65.1";
const ENVIRONMENTS: &str =
    "  staging: {}\n  production:\n    after: staging\n    require: [sbom, tests, { vulns: { max: low } }]\n";

/// Asks a browser what is on pages.
struct Browser<'a> {
    platform: &'a Platform,
    folder: std::path::PathBuf,
    chromium: String,
    script: String,
}

impl<'a> Browser<'a> {
    fn start(platform: &'a Platform) -> Result<Self, String> {
        let chromium = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(program);
        let chromium = chromium.ok_or("there is no Chromium")?;
        let below = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let folder = windlass_testkit::node_package(below, BROWSER)?;
        // Packages are looked for from where a script lies.
        let script = folder.join("walk.js");
        std::fs::write(&script, include_str!("pages/walk.js")).map_err(|e| e.to_string())?;
        let (chromium, script) = (chromium.display().to_string(), script.display().to_string());
        Ok(Self { platform, folder, chromium, script })
    }

    /// Looks at pages, one after the other; each must be whole: no overflow, nothing nameless, no error of a script.
    fn look(&self, questions: &[Value]) -> Vec<Value> {
        let url = &self.platform.url;
        let whole = questions.iter().map(|question| {
            let mut question = question.clone();
            question["address"] = format!("{url}{}", question["address"].as_str().unwrap()).into();
            question
        });
        let whole: Vec<Value> = whole.collect();
        let arguments = [self.script.as_str(), &self.chromium, &self.platform.token];
        let answers = windlass_testkit::ask_node(&self.folder, &arguments, &whole).unwrap();
        assert_eq!(answers.len(), questions.len());
        for (question, answer) in questions.iter().zip(&answers) {
            assert_eq!(answer["status"], 200, "{question}: {}", answer["text"]);
            assert_eq!(answer["overflows"], false, "{question} is wider than the screen");
            for count in ["nameless", "unlabelled", "bare"] {
                assert_eq!(answer[count], 0, "{question}: what a screen reader cannot tell ({count})");
            }
            assert_eq!(answer["errors"], json!([]), "{question}");
        }
        answers
    }
}

#[track_caller]
fn says(page: &Value, words: &[&str]) {
    let text = page["text"].as_str().unwrap();
    for word in words {
        assert!(text.contains(word), "`{word}` is not on {}:\n{text}", page["address"]);
    }
}

fn link(page: &Value, part: &str) -> String {
    let links = page["links"].as_array().unwrap();
    let found = links.iter().filter_map(Value::as_str).find(|link| link.contains(part));
    found.unwrap_or_else(|| panic!("no link with {part} on {}", page["address"])).to_owned()
}

#[test]
fn from_a_push_to_the_images_page_its_evidence_and_a_refusal() {
    let Some(mut app) = App::staging_only(NAME) else { return };
    app.environments = ENVIRONMENTS.to_owned();
    let Some(platform) = Platform::start(NAME) else { return };
    let browser = match Browser::start(&platform) {
        Ok(browser) => browser,
        Err(why) => return windlass_testkit::skip(NAME, &why),
    };
    let (_, sha) = app.ship(&platform, "shop");
    let run = platform.concludes("shop", &sha, Conclusion::Failure);
    assert_eq!(job(&run, "production").conclusion, Some(Conclusion::Failure));
    let live = platform.environment("shop", "staging").live.expect("staging has it");
    let image = format!("shop@{}", live.images["app"]);
    let page =
        |image: &str| format!("/projects/shop/image?name={}", image.replace('@', "%40").replace(':', "%3A"));

    // From the project to the image, as a person goes.
    let pages = browser.look(&[
        json!({ "address": "/projects/shop/images" }),
        json!({ "address": "/projects/shop/repository?name=shop" }),
        json!({ "address": page(&image), "until": "#packages" }),
        json!({ "address": "/registry" }),
    ]);
    assert!(link(&pages[0], "repository?name=").ends_with("name=shop"));
    says(&pages[1], &["docker pull", "No rule speaks of it"]);
    let shown = &pages[2];
    says(shown, &["staging", "Where it runs", "docker pull", "Layers"]);
    says(shown, &["signed here", "windlass image verify", "Not checked", "CycloneDX"]);
    assert!(link(shown, "/runs/").contains(&run.summary.id), "the run that pushed it");
    says(&pages[3], &["shop", "not checked", "What would go?"]);

    // Its files, and itself beside itself.
    let layer = link(shown, "/layer?name=");
    let same = format!("/projects/shop/image/compare?name={0}&with={0}", image.replace('@', "%40"));
    let pages = browser.look(&[json!({ "address": layer }), json!({ "address": same })]);
    says(&pages[0], &["What it does", "added"]);
    says(&pages[1], &["nothing differs"]);

    // The refusal, with what is missing as a list; and an exception where it is asked for.
    let (run_page, address) =
        (format!("/runs/{}", run.summary.id), "/projects/shop/exceptions?id=CVE-2024-1");
    let pages = browser.look(&[
        json!({ "address": run_page }),
        json!({
            "address": address,
            "fill": { "#production textarea": "not reachable here" },
            "press": "#production button",
        }),
    ]);
    says(&pages[0], &["production requires evidence that is missing", "tests (app)", "vulns (app)"]);
    link(&pages[0], "/projects/shop/exceptions");
    says(&pages[1], &["CVE-2024-1", "not reachable here", "let through"]);
    let granted =
        platform.ledger().into_iter().any(|e| e.kind == "approval.given" && e.subject.contains("CVE-2024-1"));
    assert!(granted, "an exception is an approval in the ledger");
    what_runs_cannot_be_deleted(&browser, &image);
}

/// Nobody deletes what runs; and a dry run says what a collection would take, and takes nothing.
fn what_runs_cannot_be_deleted(browser: &Browser<'_>, running: &str) {
    let deletion = format!("/projects/shop/image/delete?name={}", running.replace('@', "%40"));
    let pages = browser.look(&[
        json!({ "address": deletion }),
        json!({ "address": "/registry", "press": "#care button.main" }),
        json!({ "address": "/registry" }),
    ]);
    says(&pages[0], &["It cannot be deleted", "it is needed"]);
    says(&pages[1], &["What a collection would take", "stay"]);
    says(&pages[2], &["Neither was done yet"]);
}
