use windlass_secrets::Masker;
use windlass_testkit::TestClock;

use super::*;
use crate::control::MemoryControl;
use crate::stop::StopSwitch;

struct Heard {
    log: String,
    effects: Effects,
    annotations: Vec<AnnotationView>,
}

/// What a step that writes `output` brings about.
async fn hear(output: &str, debug: bool, unsecure: bool) -> Heard {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(TestClock::at(0));
    let log =
        Log::create(&dir.path().join("log"), Masker::new(["s3cr3t-value"]), clock.clone(), 1 << 20).unwrap();
    let reporter = Reporter::new(clock);
    let voice = Voice {
        log: log.clone(),
        reporter: reporter.clone(),
        step: 3,
        debug,
        in_job: Arc::default(),
        in_step: Arc::default(),
    };
    let mut transcript = Transcript::new(voice, unsecure, Matchers::default());
    for byte in output.as_bytes() {
        transcript.feed(&[*byte]);
    }
    let (effects, _) = transcript.finish();
    reporter.tell(JobHappening::Finished {
        conclusion: windlass_api::Conclusion::Success,
        reason: None,
        outputs: std::collections::BTreeMap::new(),
        environment_url: None,
    });
    let control = Arc::new(MemoryControl::default());
    reporter.run(control.clone(), StopSwitch::default(), std::time::Duration::from_secs(9)).await;
    let annotations = control
        .happenings()
        .into_iter()
        .filter_map(|what| match what {
            JobHappening::Annotation { annotation } => Some(annotation),
            _ => None,
        })
        .collect();
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
    let log =
        log.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>().join("\n");
    Heard { log, effects, annotations }
}

#[tokio::test]
async fn what_stands_in_the_log() {
    let cases = [
        ("plain\n\n text", "plain\n\n text"),
        ("::debug::x\ny", "y"),
        ("::group::Build\nx\n::endgroup::", "##[group]Build\nx\n##[endgroup]"),
        ("::error::a%0Ab", "##[error]a\nb"),
        ("::notice file=x::n\n::warning::w", "##[notice]n\n##[warning]w"),
        ("::add-mask::zebra-crossing\nthe zebra-crossing", "the ***"),
        ("::echo::on\n::add-mask::zebra-crossing\n::echo::off", "::echo::on\n::add-mask::***"),
        ("::stop-commands::T0\n::error::x\n::T0::\n::error::y", "::error::x\n::T0::\n##[error]y"),
        ("s3cr3t-value in ::no::command", "*** in ::no::command"),
        ("bad \u{fffd} ::error", "bad \u{fffd} ::error"),
    ];
    for (output, wanted) in cases {
        assert_eq!(hear(output, false, false).await.log, wanted, "{output}");
    }
    assert_eq!(hear("::debug::x", true, false).await.log, "##[debug]x");
}

#[tokio::test]
async fn what_commands_bring_about() {
    let heard = hear("::set-output name=a::1\n::save-state name=b::2\n", false, false).await;
    assert_eq!(heard.effects.outputs, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(heard.effects.state, [("b".to_owned(), "2".to_owned())]);
    assert_eq!(heard.annotations.len(), 2, "both are deprecated");
    assert_eq!(heard.effects.failure, None);

    let heard = hear("::set-env name=a::1\n::add-path::/x\n", false, true).await;
    assert_eq!(heard.effects.env, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(heard.effects.paths, ["/x"]);

    for failing in [
        "::set-env name=a::1",
        "::add-path::/x",
        "::set-output::1",
        "::stop-commands::",
        "::stop-commands::error",
        "::echo::maybe",
    ] {
        let heard = hear(failing, false, false).await;
        assert!(heard.effects.failure.is_some(), "{failing}");
        assert!(heard.log.contains("##[error]Unable to process command"), "{failing}");
        assert!(heard.effects.env.is_empty() && heard.effects.paths.is_empty());
    }
}

#[tokio::test]
async fn annotations_are_normalised_masked_and_limited() {
    let heard = hear(
        "::error file=a.rs,line=3,endLine=4,col=2,title=T::the s3cr3t-value\n::warning file=b,endLine=7,col=1,endColumn=5::w",
        false,
        false,
    )
    .await;
    let [error, warning] = &heard.annotations[..] else { panic!("{:?}", heard.annotations) };
    assert_eq!((error.message.as_str(), error.path.as_deref(), error.step), ("the ***", Some("a.rs"), 3));
    assert_eq!((error.line, error.end_line, error.column), (Some(3), Some(4), None));
    assert_eq!((warning.line, warning.end_line, warning.column), (Some(7), Some(7), Some(1)));

    let many = "::error::e\n::notice::n\n".repeat(30);
    assert_eq!(hear(&many, false, false).await.annotations.len(), 20, "ten of each kind");
    let long = format!("::error::{}", "x".repeat(9000));
    assert_eq!(hear(&long, false, false).await.annotations[0].message.len(), 4096);
}
