//! `on.schedule`.

use jiff::tz::TimeZone;

use super::reader::{Field, Reader};
use crate::cron::Schedule;
use crate::diagnostic::Diagnostic;
use crate::keys::Place;
use crate::trigger::Scheduled;
use crate::yaml::Node;

impl Reader<'_> {
    pub(super) fn schedule(&mut self, node: &Node) -> Vec<Scheduled> {
        let Some(items) = self.items(node) else { return Vec::new() };
        if items.is_empty() {
            self.error(node.span, "Required property is missing: cron");
        }
        items.iter().filter_map(|item| self.scheduled(item)).collect()
    }

    fn scheduled(&mut self, node: &Node) -> Option<Scheduled> {
        let fields = self.fields(node, Place::Schedule)?;
        let zone = fields.get("timezone").and_then(|field| self.time_zone(field));
        let cron = fields.get("cron").and_then(|field| self.literal(field.node))?;
        match Schedule::parse(&cron) {
            Ok(schedule) => {
                if schedule.is_too_frequent() {
                    let message = "The schedule is due more often than every five minutes";
                    self.report(Diagnostic::warning(cron.span, message));
                }
                Some(Scheduled { cron, schedule, zone: zone.unwrap_or(TimeZone::UTC) })
            }
            Err(error) => {
                self.error(cron.span, error.to_string());
                None
            }
        }
    }

    fn time_zone(&mut self, field: Field<'_>) -> Option<TimeZone> {
        let name = self.word(field.node)?;
        let zone = TimeZone::get(&name).ok();
        if zone.is_none() {
            let finding =
                Diagnostic::error(name.span, format!("the time zone '{}' is not known", name.value));
            self.report(finding.with_help("write its IANA name, such as 'Europe/Paris'"));
        }
        zone
    }
}
