use super::*;

fn about(event: &str, reference: &str) -> About {
    About {
        event: event.into(),
        reference: reference.into(),
        sha: "860c1904a1ce19322e91ac35af1ab07466440c37".into(),
        base_ref: "main".into(),
        default_branch: "main".into(),
        now: "2026-11-20T14:05:06.007Z".into(),
        committed: "2026-01-02T03:04:05Z".into(),
    }
}

fn lines(text: &str) -> Vec<String> {
    text.split(';').map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn tags_follow_the_rules() {
    let semver = "type=semver,pattern={{version}}; type=semver,pattern={{major}}.{{minor}}; type=semver,pattern={{major}}";
    let all =
        "type=schedule; type=ref,event=branch; type=ref,event=pr; type=semver,pattern={{version}}; type=sha";
    // Tags, flavor, event, ref, and what comes of it; rules are divided by semicolons here.
    let cases = [
        ("", "", "push", "refs/heads/main", "main"),
        ("", "", "push", "refs/heads/Feature/x_y#1", "Feature-x_y-1"),
        ("", "", "push", "refs/tags/v1.2.3", "v1.2.3 latest"),
        ("", "", "pull_request", "refs/pull/7/merge", "pr-7"),
        ("", "", "schedule", "refs/heads/main", "nightly main"),
        ("", "latest=true", "push", "refs/heads/main", "main latest"),
        ("", "latest=false", "push", "refs/tags/v1", "v1"),
        ("", "prefix=p-,onlatest=true;suffix=-s", "push", "refs/tags/v1", "p-v1-s p-latest"),
        (semver, "", "push", "refs/tags/v1.2.3", "1.2.3 1.2 1 latest"),
        (semver, "", "push", "refs/tags/v2.0.8-beta.67", "2.0.8-beta.67"),
        (semver, "", "push", "refs/tags/1.2.3+build", "1.2.3 1.2 1 latest"),
        (semver, "", "push", "refs/tags/nothing", ""),
        (semver, "", "push", "refs/heads/main", ""),
        ("type=semver,pattern={{raw}}", "", "push", "refs/tags/v1.2.3-rc1", "v1.2.3-rc1"),
        ("type=semver,pattern={{version}},value=v3.4.5", "", "push", "refs/heads/main", "3.4.5 latest"),
        ("type=pep440,pattern={{major}}.{{minor}}", "", "push", "refs/tags/v1.2", "1.2 latest"),
        (r"type=match,pattern=v(\d.\d),group=1", "", "push", "refs/tags/v1.2.3", "1.2 latest"),
        ("type=match,pattern=nothing", "", "push", "refs/tags/v1.2.3", ""),
        ("type=edge", "", "push", "refs/heads/main", "edge"),
        ("type=edge,branch=dev", "", "push", "refs/heads/main", ""),
        ("type=sha", "", "push", "refs/heads/main", "sha-860c190"),
        (
            "type=sha,prefix=,format=long",
            "",
            "push",
            "refs/heads/main",
            "860c1904a1ce19322e91ac35af1ab07466440c37",
        ),
        ("type=raw,value=mine; type=sha; other", "", "push", "refs/heads/main", "mine other sha-860c190"),
        (
            "type=raw,value=x,enable=false; type=raw,value=y,enable={{is_default_branch}}",
            "",
            "push",
            "refs/heads/main",
            "y",
        ),
        (
            "type=raw,value={{branch}}-{{sha}}-{{date 'YYYYMMDD-HHmmss'}}",
            "",
            "push",
            "refs/heads/main",
            "main-860c190-20261120-140506",
        ),
        ("type=raw,value={{commit_date 'YY.MM'}}", "", "push", "refs/heads/main", "26.01"),
        ("type=sha; type=ref,event=branch,priority=50", "", "push", "refs/heads/main", "sha-860c190 main"),
        ("type=ref,event=branch,suffix=-{{sha}}", "suffix=no", "push", "refs/heads/main", "main-860c190"),
        (all, "", "pull_request", "refs/pull/3/merge", "pr-3 sha-860c190"),
    ];
    for (rules, flavor, event, reference, wanted) in cases {
        let flavor = Flavor::parse(&lines(flavor)).unwrap();
        let (tags, _) = Tags::of(&lines(rules), &flavor, &about(event, reference)).unwrap();
        assert_eq!(tags.names(&[], &flavor).join(" "), wanted, "{rules} at {reference}");
    }
}

#[test]
fn images_have_all_tags_each() {
    let flavor = Flavor::default();
    let (tags, _) = Tags::of(&[], &flavor, &about("push", "refs/tags/v1")).unwrap();
    let names = tags.names(&["a/b".to_owned(), "ghcr.io/c".to_owned()], &flavor);
    assert_eq!(names, ["a/b:v1", "a/b:latest", "ghcr.io/c:v1", "ghcr.io/c:latest"]);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let about = about("push", "refs/tags/v1");
    for (rules, why) in [
        ("type=nothing", "Unknown tag type attribute: nothing"),
        ("type=semver", "Missing pattern attribute"),
        ("type=ref", "Missing or invalid event attribute"),
        ("type=ref,event=x", "Missing or invalid event attribute"),
        ("type=raw", "Missing value attribute"),
        ("type=sha,enable=perhaps", "Invalid value for enable attribute: perhaps"),
        ("type=sha,priority=high", "Invalid value for priority attribute: high"),
        ("type=match,pattern=(", "cannot be used"),
    ] {
        let error = Tags::of(&lines(rules), &Flavor::default(), &about).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(Flavor::parse(&lines("colour=red")).is_err());
    assert!(Flavor::parse(&lines("latest=perhaps")).is_err());
}
