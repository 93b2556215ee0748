//! Requests to the registry whose body is written by hand, so that it may stop, or be larger than anybody wants.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::platform::Platform;

/// A connection with one request on it.
pub(super) struct Wire(TcpStream);

impl Wire {
    /// Sends a request's head, as the data directory's owner.
    pub(super) fn begin(platform: &Platform, method: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let (address, token) = (platform.address(), &platform.token);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(5))).unwrap();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        Self(stream)
    }

    /// One request with its answer.
    pub(super) fn ask(
        platform: &Platform,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let length = body.len().to_string();
        let mut wire =
            Self::begin(platform, method, path, &[headers, &[("Content-Length", &length)]].concat());
        wire.send(body);
        wire.answer()
    }

    /// Sends so much of the body, or as much as is taken.
    pub(super) fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// The next bytes of the answer.
    pub(super) fn some(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        let count = self.0.read(&mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    }

    /// What is there of the answer until nothing comes any more.
    pub(super) fn rest(&mut self) -> usize {
        self.0.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut bytes = Vec::new();
        let _ = self.0.read_to_end(&mut bytes);
        bytes.len()
    }

    /// The answer, to the connection's end.
    pub(super) fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        let end = self.0.read_to_end(&mut bytes);
        let split = bytes.windows(4).position(|w| w == b"\r\n\r\n");
        let split =
            split.unwrap_or_else(|| panic!("no answer, {end:?}: {:?}", String::from_utf8_lossy(&bytes)));
        let body = bytes.split_off(split + 4);
        Answer { head: String::from_utf8_lossy(&bytes).into_owned(), body }
    }

    /// Whether the platform still holds its end of the connection: the system's table tells.
    pub(super) fn held(&self) -> bool {
        let (ours, theirs) = (self.0.local_addr().unwrap().port(), self.0.peer_addr().unwrap().port());
        let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
        text.lines().skip(1).any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let mut port = || fields.next().and_then(|a| u16::from_str_radix(a.split_once(':')?.1, 16).ok());
            let ends = (port(), port());
            // What waits for stray packets (TIME_WAIT) belongs to nobody any more.
            ends == (Some(theirs), Some(ours)) && fields.next() != Some("06")
        })
    }
}

/// An answer, whole or not.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|l| l.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(super) fn text(&self) -> String {
        format!("{}{}", self.head, String::from_utf8_lossy(&self.body))
    }

    /// The first error's code and message, as the specification has them.
    #[track_caller]
    pub(super) fn error(&self) -> (String, String) {
        let json: serde_json::Value =
            serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()));
        let field = |name: &str| json["errors"][0][name].as_str().unwrap_or_default().to_owned();
        (field("code"), field("message"))
    }
}
