//! Schedules: five fields of POSIX cron, in a time zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use windlass_kernel::Timestamp;

/// How far ahead a time is looked for: 29 February can be eight years away.
const DAYS_AHEAD: usize = 366 * 9;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// When a workflow runs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both the day of the month and the weekday are given: then either will do.
    either_day: bool,
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a schedule: {why}")]
pub struct CronError {
    text: String,
    why: String,
}

struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field { name: "month", least: 1, most: 12, names: &MONTHS },
    Field { name: "weekday", least: 0, most: 6, names: &WEEKDAYS },
];

impl Schedule {
    /// Reads five fields: minute, hour, day of the month, month, weekday (0 to 6, Sunday first), each of `*`, numbers,
    /// names, `a-b`, `/n` and lists of these.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let error = |why: String| CronError { text: text.chars().take(80).collect(), why };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(error(format!(
                "it has {} fields instead of five (minute, hour, day of the month, month, weekday)",
                fields.len()
            )));
        };
        let read = |which: usize, text: &str| FIELDS[which].read(text).map_err(error);
        Ok(Self {
            text: text.to_owned(),
            minutes: read(0, minute)?,
            hours: read(1, hour)?,
            days: read(2, day)?,
            months: read(3, month)?,
            weekdays: read(4, weekday)?,
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    /// Its text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether two of its times can lie less than five minutes apart: GitHub does not run those so often.
    pub fn is_too_frequent(&self) -> bool {
        let minutes: Vec<u32> = (0..60).filter(|m| self.minutes & (1 << m) != 0).collect();
        let wraps = minutes.len() > 1
            || (0..24).any(|h| self.hours & (1 << h) != 0 && self.hours & (1 << ((h + 1) % 24)) != 0);
        let within = minutes.windows(2).any(|pair| pair[1] - pair[0] < 5);
        let across = match (minutes.first(), minutes.last()) {
            (Some(first), Some(last)) => wraps && first + 60 - last < 5,
            _ => false,
        };
        within || across
    }

    /// The first time after `after`, by the clock of `zone`; `None` if there is none within nine years, as for
    /// 30 February. A time that the clock skips in spring is moved to the next one that exists; one that it shows twice
    /// in autumn counts once, the first time.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
        let local = zone.to_datetime(after);
        // What the clock skipped is moved forward, so begin before any gap that may just have passed.
        let from = local.checked_sub(jiff::Span::new().hours(3)).unwrap_or(local);
        let mut day = from.date();
        for _ in 0..DAYS_AHEAD {
            if self.is_day(day) {
                let found = self
                    .times(day)
                    .filter(|time| *time >= from)
                    .filter_map(|time| instant(time, zone))
                    .filter(|instant| *instant > after)
                    .min();
                if let Some(found) = found {
                    return Some(Timestamp::from_millis(found.as_millisecond()));
                }
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    fn is_day(&self, day: Date) -> bool {
        let in_month = self.days & (1 << day.day()) != 0;
        let in_week = self.weekdays & (1 << day.weekday().to_sunday_zero_offset()) != 0;
        let month = self.months & (1 << day.month()) != 0;
        month && if self.either_day { in_month || in_week } else { in_month && in_week }
    }

    fn times(&self, day: Date) -> impl Iterator<Item = DateTime> + '_ {
        let hours = (0..24i8).filter(|h| self.hours & (1 << h) != 0);
        hours.flat_map(move |hour| {
            let minutes = (0..60i8).filter(|m| self.minutes & (1 << m) != 0);
            minutes.map(move |minute| day.at(hour, minute, 0, 0))
        })
    }
}

/// When the clock of `zone` shows `time` first; the end of the gap if it never does.
fn instant(time: DateTime, zone: &TimeZone) -> Option<jiff::Timestamp> {
    match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(time).ok()
        }
        AmbiguousOffset::Gap { after, .. } => {
            let before_gap = after.to_timestamp(time).ok()?;
            zone.following(before_gap).next().map(|transition| transition.timestamp())
        }
    }
}

impl Field {
    fn read(&self, text: &str) -> Result<u64, String> {
        text.split(',').try_fold(0, |set, part| Ok(set | self.part(part)?))
    }

    fn part(&self, part: &str) -> Result<u64, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step: u8 = step.parse().ok().filter(|step| *step > 0).ok_or_else(|| {
                    format!("the step '{step}' of the {} is not a number from 1 to 255", self.name)
                })?;
                (range, Some(step))
            }
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None => {
                let first = self.number(range)?;
                (first, if step.is_some() { self.most } else { first })
            }
        };
        if last < first {
            return Err(format!("the range '{range}' of the {} runs backwards", self.name));
        }
        Ok((first..=last).step_by(usize::from(step.unwrap_or(1))).fold(0, |set, n| set | 1 << n))
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        if let Some(place) = self.names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(place as u8 + self.least);
        }
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = if plain { text.parse::<u8>().ok() } else { None };
        number
            .filter(|n| (self.least..=self.most).contains(n))
            .ok_or_else(|| format!("'{text}' is not a {} from {} to {}", self.name, self.least, self.most))
    }
}

#[cfg(test)]
mod tests;
