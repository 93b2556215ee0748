//! The ports of `EXPOSE`.

/// The most ports that one instruction may name.
const MOST: usize = 65_536;

/// What a word of `EXPOSE` names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ports {
    /// `8080/tcp`, each.
    pub(crate) all: Vec<String>,
    /// The protocol is not in small letters.
    pub(crate) odd_casing: bool,
    /// An address or a port of the host stands in front, which means nothing here.
    pub(crate) odd_format: bool,
}

/// Reads `port`, `first-last`, each with or without `/protocol`.
pub(crate) fn ports(text: &str) -> Result<Ports, String> {
    let (host, container) = match text.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, text),
    };
    let (range, protocol) = container.split_once('/').unwrap_or((container, ""));
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    let lower = protocol.to_lowercase();
    if !["tcp", "udp", "sctp"].contains(&lower.as_str()) {
        return Err(format!("'{text}' has no known protocol: it is tcp, udp or sctp"));
    }
    let (first, last) = bounds(range).ok_or_else(|| {
        format!("'{text}' is no port: it is a number up to 65535, or two with - between them")
    })?;
    if let Some(host) = host {
        check_host(host).ok_or_else(|| format!("'{text}' is no port"))?;
    }
    let ports = (first..=last).map(|port| format!("{port}/{lower}")).take(MOST).collect();
    Ok(Ports { all: ports, odd_casing: protocol != lower, odd_format: host.is_some() })
}

/// `[address:]port`, which is read and has no meaning.
fn check_host(host: &str) -> Option<()> {
    let (address, port) = host.rsplit_once(':').unwrap_or(("", host));
    if !address.is_empty() {
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        address_of(bare).then_some(())?;
    }
    if port.is_empty() { Some(()) } else { bounds(port).map(|_| ()) }
}

/// Whether a text looks like an address: four numbers, or groups of hexadecimal digits.
fn address_of(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    let four = numbers.len() == 4 && numbers.iter().all(|number| number.parse::<u8>().is_ok());
    four || (text.contains(':') && text.chars().all(|c| c.is_ascii_hexdigit() || c == ':' || c == '.'))
}

fn bounds(range: &str) -> Option<(u16, u16)> {
    let number =
        |text: &str| text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(range)?, number(range)?),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_with_ranges_and_protocols() {
        for (text, wanted) in [
            ("80", vec!["80/tcp"]),
            ("80/", vec!["80/tcp"]),
            ("53/udp", vec!["53/udp"]),
            ("53/UDP", vec!["53/udp"]),
            ("8000-8002", vec!["8000/tcp", "8001/tcp", "8002/tcp"]),
            ("7-7/sctp", vec!["7/sctp"]),
            ("127.0.0.1:80:8080", vec!["8080/tcp"]),
            ("[::1]:80:8080", vec!["8080/tcp"]),
            ("80:8080", vec!["8080/tcp"]),
        ] {
            assert_eq!(ports(text).unwrap().all, wanted, "{text}");
        }
        for text in ["", "x", "80/icmp", "65536", "-1", "9-8", "80-", "1:2:3:4x", "+80"] {
            assert!(ports(text).is_err(), "{text}");
        }
        assert!(ports("80/TCP").unwrap().odd_casing);
        assert!(ports("80:80").unwrap().odd_format);
    }
}
