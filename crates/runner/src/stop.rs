//! What may end a job from outside: cancellation, the time limit, a lost lease.

use std::sync::Arc;

use tokio::sync::watch;

/// How far a job is stopped. It only worsens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is not.
    #[default]
    No,
    /// Cancelled or out of time, for this reason: steps that always run still run.
    Cancelled(String),
    /// The time for those steps is over as well: nothing runs any more.
    Forced(String),
    /// The job belongs to somebody else now: stop at once, report nothing.
    Lost,
}

/// A switch that only moves towards "stop", and tells those who watch.
#[derive(Clone, Debug)]
pub(crate) struct StopSwitch {
    sender: Arc<watch::Sender<Stop>>,
}

impl Stop {
    fn rank(&self) -> u8 {
        match self {
            Self::No => 0,
            Self::Cancelled(_) => 1,
            Self::Forced(_) => 2,
            Self::Lost => 3,
        }
    }

    /// Whether the job's status is `cancelled`.
    pub(crate) fn is_stop(&self) -> bool {
        *self != Self::No
    }

    /// Whether not even the steps that always run may run.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Forced(_) | Self::Lost)
    }

    /// Why, in words.
    pub(crate) fn reason(&self) -> Option<&str> {
        match self {
            Self::No => None,
            Self::Cancelled(why) | Self::Forced(why) => Some(why),
            Self::Lost => Some("the job was given to another runner, or has ended"),
        }
    }
}

impl Default for StopSwitch {
    fn default() -> Self {
        Self { sender: Arc::new(watch::Sender::new(Stop::No)) }
    }
}

impl StopSwitch {
    /// Moves to `stop`, unless the switch stands further already.
    pub(crate) fn set(&self, stop: Stop) {
        self.sender.send_if_modified(|now| {
            let worse = stop.rank() > now.rank();
            if worse {
                *now = stop;
            }
            worse
        });
    }

    /// Where it stands.
    pub(crate) fn now(&self) -> Stop {
        self.sender.borrow().clone()
    }

    /// Waits until `enough` holds.
    pub(crate) async fn until(&self, enough: impl Fn(&Stop) -> bool) -> Stop {
        let mut watch = self.sender.subscribe();
        match watch.wait_for(|stop| enough(stop)).await {
            Ok(stop) => stop.clone(),
            Err(_) => self.now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_only_worsens() {
        let switch = StopSwitch::default();
        switch.set(Stop::Cancelled("first".into()));
        switch.set(Stop::Cancelled("second".into()));
        assert_eq!(switch.now().reason(), Some("first"));
        switch.set(Stop::Lost);
        switch.set(Stop::Forced("late".into()));
        assert_eq!(switch.now(), Stop::Lost);
    }
}
