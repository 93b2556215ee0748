use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn next(cron: &str, after: &str, zone: &str) -> Option<Timestamp> {
    let zone = if zone == "UTC" { TimeZone::UTC } else { TimeZone::posix(zone).unwrap() };
    Schedule::parse(cron).unwrap().next_after(at(after), &zone)
}

#[test]
fn the_next_time() {
    // New York's rule, written out so that the test needs no zone database.
    let york = "EST5EDT,M3.2.0,M11.1.0";
    let table = [
        ("* * * * *", "2026-01-01T00:00:00Z", "UTC", "2026-01-01T00:01:00Z"),
        ("*/15 * * * *", "2026-01-01T00:15:00Z", "UTC", "2026-01-01T00:30:00Z"),
        ("30 5,17 * * *", "2026-01-01T06:00:00Z", "UTC", "2026-01-01T17:30:00Z"),
        ("0 0 1 1 *", "2026-01-01T00:00:00Z", "UTC", "2027-01-01T00:00:00Z"),
        ("0 9 * * MON-FRI", "2026-11-20T09:00:00Z", "UTC", "2026-11-23T09:00:00Z"),
        ("0 0 * feb sun", "2026-01-01T00:00:00Z", "UTC", "2026-02-01T00:00:00Z"),
        // The day of the month or the weekday, when both are given.
        ("0 0 13 * 5", "2026-11-01T00:00:00Z", "UTC", "2026-11-06T00:00:00Z"),
        ("0 0 13 * 5", "2026-11-06T00:00:00Z", "UTC", "2026-11-13T00:00:00Z"),
        ("0 0 */2 * 1", "2026-11-01T12:00:00Z", "UTC", "2026-11-09T00:00:00Z"),
        ("0 0 29 2 *", "2096-03-01T00:00:00Z", "UTC", "2104-02-29T00:00:00Z"),
        ("5/20 * * * *", "2026-01-01T00:06:00Z", "UTC", "2026-01-01T00:25:00Z"),
        ("0 9 * * *", "2026-07-01T00:00:00Z", york, "2026-07-01T13:00:00Z"),
        ("0 9 * * *", "2026-12-01T00:00:00Z", york, "2026-12-01T14:00:00Z"),
        // 02:30 does not exist on 8 March 2026: it runs at 03:00, once.
        ("30 2 * * *", "2026-03-08T05:00:00Z", york, "2026-03-08T07:00:00Z"),
        ("30 2 * * *", "2026-03-08T07:00:00Z", york, "2026-03-09T06:30:00Z"),
        // 01:30 comes twice on 1 November 2026: it runs the first time.
        ("30 1 * * *", "2026-11-01T05:00:00Z", york, "2026-11-01T05:30:00Z"),
        ("30 1 * * *", "2026-11-01T05:30:00Z", york, "2026-11-02T06:30:00Z"),
    ];
    for (cron, after, zone, expected) in table {
        assert_eq!(next(cron, after, zone), Some(at(expected)), "{cron} after {after}");
    }
    assert_eq!(next("0 0 30 2 *", "2026-01-01T00:00:00Z", "UTC"), None);
}

#[test]
fn what_is_no_schedule_is_refused() {
    for bad in [
        "",
        "* * * *",
        "* * * * * *",
        "@daily",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "5-1 * * * *",
        "a * * * *",
        "1, * * * *",
        "* * L * *",
        "* * ? * *",
        "* * * * 1#2",
        "-1 * * * *",
        "+1 * * * *",
        "*-5 * * * *",
    ] {
        assert!(Schedule::parse(bad).is_err(), "{bad}");
    }
    let message = Schedule::parse("* * * * 7").unwrap_err().to_string();
    assert_eq!(message, "'* * * * 7' is not a schedule: '7' is not a weekday from 0 to 6");
}

#[test]
fn what_runs_more_often_than_every_five_minutes() {
    for (cron, expected) in [
        ("* * * * *", true),
        ("*/5 * * * *", false),
        ("0,58 * * * *", true),
        ("0,58 3 * * *", true),
        ("0,4 * * * *", true),
        ("0,30 * * * *", false),
    ] {
        assert_eq!(Schedule::parse(cron).unwrap().is_too_frequent(), expected, "{cron}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[0-9*,/a-z -]{0,30}", at in any::<i64>()) {
        if let Ok(schedule) = Schedule::parse(&text) {
            let _ = schedule.next_after(Timestamp::from_millis(at), &TimeZone::UTC);
        }
    }

    #[test]
    fn the_next_time_lies_ahead_and_on_the_minute(minute in 0u8..60, hour in 0u8..24, at in 0i64..4_000_000_000_000) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *")).unwrap();
        let next = schedule.next_after(Timestamp::from_millis(at), &TimeZone::UTC).unwrap().as_millis();
        prop_assert!(next > at && next - at <= 86_400_000);
        prop_assert_eq!(next % 86_400_000, i64::from(hour) * 3_600_000 + i64::from(minute) * 60_000);
    }
}
