//! How many connections there may be, in all and of one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What one client may ask of the gateway.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections open at one time. Fewer if the process may not open as many files.
    pub connections: usize,
    /// Of these, from one address (of IPv6: one /64 network).
    pub per_client: usize,
    /// How long a request's head may take from its first byte to its last.
    pub head: Duration,
    /// How long a connection may stay without a request.
    pub idle: Duration,
    /// How long a client may stop in the middle of a body, sending or reading.
    pub stall: Duration,
    /// How long requests in flight may go on after the gateway was told to stop.
    pub drain: Duration,
}

/// Counts connections.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: usize,
    per_client: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            per_client: 4_096,
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            stall: Duration::from_mins(1),
            drain: Duration::from_secs(10),
        }
    }
}

impl Admission {
    /// `files` is how many the process may open: every connection may need a second one, to an instance.
    pub(crate) fn new(limits: &Limits, files: usize) -> Self {
        let connections = limits.connections.min((files.saturating_sub(128) / 2).max(16));
        Self { connections, per_client: limits.per_client, open: Mutex::default() }
    }

    /// A place for a connection from `client`, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let client = network(client);
        let mut open = self.open();
        let of_client = open.by_client.get(&client).copied().unwrap_or_default();
        if open.total >= self.connections || of_client >= self.per_client {
            return None;
        }
        open.total += 1;
        open.by_client.insert(client, of_client + 1);
        Some(Permit { admission: self.clone(), client })
    }

    /// Connections open now.
    pub(crate) fn count(&self) -> usize {
        self.open().total
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.total -= 1;
        if let Some(of_client) = open.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

/// What counts as one client: an address, or the network that one IPv6 subscriber has.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_and_given_back() {
        let limits = Limits { connections: 3, per_client: 2, ..Limits::default() };
        let admission = Arc::new(Admission::new(&limits, 1 << 20));
        let [one, two]: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert!(admission.admit(one).is_none(), "one client");
        let _third = admission.admit(two).unwrap();
        assert!(admission.admit("10.0.0.3".parse().unwrap()).is_none(), "in all");
        drop(first);
        assert_eq!(admission.count(), 2);
        assert!(admission.admit(one).is_some());
    }

    #[test]
    fn a_subscriber_s_ipv6_network_is_one_client_and_a_mapped_address_its_ipv4() {
        let of = |a: &str| network(a.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
