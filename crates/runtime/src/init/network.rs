//! The sandbox's own network, as process 1 sees it: sockets for the owner, and who listens.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::wire::{self, Reply};

/// The most ports that are told of.
const MOST: usize = 256;
/// The state of a socket that listens, as `/proc/net/tcp` writes it.
const LISTENS: &str = "0A";

/// Makes a socket and sends it to the owner.
pub(super) fn hand_out(owner: &OwnedFd, seq: u64, v6: bool) {
    let family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    match socket(family, SockType::Stream, flags, None) {
        Ok(made) => {
            // A lost owner is noticed at the next wait.
            let _ = wire::send(owner.as_fd(), &Reply::Socket { seq, why: None }, &[made.as_fd()]);
        }
        Err(errno) => wire::tell(owner, &Reply::Socket { seq, why: Some(errno.desc().into()) }),
    }
}

/// The ports that somebody listens on, the lowest first. What is bound to another loopback address than the first is not the
/// sandbox's: its owner listens there for others.
pub(super) fn listening() -> Vec<u16> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(std::fs::read_to_string);
    let ports: BTreeSet<u16> = tables.iter().flatten().flat_map(|table| ports(table)).collect();
    ports.into_iter().take(MOST).collect()
}

fn ports(table: &str) -> impl Iterator<Item = u16> + '_ {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        let (address, port) = local.rsplit_once(':')?;
        let own = address.len() > 8 || ["00000000", "0100007F", "7F000001"].contains(&address);
        (own && state == LISTENS).then(|| u16::from_str_radix(port, 16).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_that_are_listened_on_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                     \x20  0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 1\n\
                     \x20  1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0\n\
                     \x20  2: 9F8B407F:0051 00000000:0000 0A 00000000:00000000\n\
                     \x20  2: 0100007F:9C40 0100007F:1538 01 00000000:00000000\n   3: broken\n";
        assert_eq!(ports(table).collect::<Vec<_>>(), [5432, 80]);
    }
}
