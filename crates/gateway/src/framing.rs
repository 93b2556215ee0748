//! Where each request of a connection begins and ends, read as strictly as RFC 9112 allows. Pure.
//!
//! The HTTP library that parses requests after us is lenient where the specification lets it be: it takes bare line
//! feeds for line ends, drops a length that stands beside a transfer coding, folds equal lengths into one. Each of
//! these has been the half of a request smuggling somewhere. So every byte from a client passes here first, and what
//! two parsers could read in two ways is refused before anything parses it. What is let through has one meaning.

#[cfg(test)]
mod tests;

/// The most bytes of a request's line and header fields together.
pub(crate) const MOST_HEAD: usize = 32 << 10;
/// The longest request target.
const MOST_TARGET: usize = 8 << 10;
/// The most header fields.
pub(crate) const MOST_FIELDS: usize = 100;
/// The most bytes of a chunk's size line, extensions included.
const MOST_SIZE_LINE: usize = 512;
/// The most bytes of a trailer section.
const MOST_TRAILERS: usize = 8 << 10;

/// Why a connection's bytes are not taken as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Bytes that no request may hold, or lines that do not end as they must.
    Syntax,
    /// The first line is not `METHOD target HTTP/1.x`.
    RequestLine,
    /// The length of the message can be read in two ways.
    Length,
    /// Not exactly one host.
    Host,
    /// A protocol change together with a body.
    Upgrade,
    /// The target is too long.
    TargetTooLong,
    /// The fields are too many or too long.
    HeadTooLarge,
    /// Not HTTP/1.1 or 1.0.
    Version,
    /// `CONNECT`: we are no forward proxy.
    Connect,
    /// The head did not come in time.
    Slow,
}

/// What to do with the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Too few to tell.
    More,
    /// So many are sound and may be passed on.
    Pass(usize),
    /// So many mean nothing and are dropped.
    Skip(usize),
    /// This head is refused; nothing of it was passed.
    Refuse(Fault),
    /// The body of a request that was passed is malformed.
    Broken(&'static str),
}

/// Follows one connection through its requests.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    state: State,
    /// How many bytes of an unfinished head were looked at.
    seen: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    /// A request that may change the protocol was passed: what follows depends on the answer.
    Undecided,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    /// Bytes and fields of trailers so far.
    Trailers(usize, usize),
}

/// What a head says of its message.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
    connection_upgrade: bool,
    websocket: bool,
}

impl Scanner {
    /// Judges the bytes at hand, which begin where the last [`Step::Pass`] or [`Step::Skip`] ended.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        match self.state {
            State::Head => self.head(bytes),
            State::Undecided => Step::More,
            State::Body(left) => {
                let n = left.min(bytes.len() as u64);
                self.state = if n == left { State::Head } else { State::Body(left - n) };
                Step::Pass(n as usize)
            }
            State::ChunkSize => self.chunk_size(bytes),
            State::ChunkData(left) => {
                let n = left.min(bytes.len() as u64);
                self.state = if n == left { State::ChunkEnd } else { State::ChunkData(left - n) };
                Step::Pass(n as usize)
            }
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Step::Pass(2)
                }
                [b'\r'] => Step::More,
                _ => Step::Broken("a chunk is longer than its size says"),
            },
            State::Trailers(size, fields) => self.trailer(bytes, size, fields),
        }
    }

    /// Whether the last request passed may change the protocol, and its answer is not known yet.
    pub(crate) fn is_undecided(&self) -> bool {
        self.state == State::Undecided
    }

    /// The protocol did not change: the next request may come.
    pub(crate) fn settle(&mut self) {
        self.state = State::Head;
    }

    /// Whether the next byte begins a request.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Head
    }

    fn head(&mut self, bytes: &[u8]) -> Step {
        // One empty line before a request is forgiven (RFC 9112, section 2.2).
        if self.seen == 0 && bytes.starts_with(b"\r\n") {
            return Step::Skip(2);
        }
        if bytes == b"\r" {
            return Step::More;
        }
        let limit = bytes.len().min(MOST_HEAD);
        let mut at = self.seen;
        while at < limit {
            let byte = bytes[at];
            let before = at.checked_sub(1).map(|i| bytes[i]);
            if (byte == b'\n') != (before == Some(b'\r'))
                || (is_control(byte) && byte != b'\r' && byte != b'\n')
            {
                return Step::Refuse(Fault::Syntax);
            }
            at += 1;
            if byte == b'\n' && bytes[..at].ends_with(b"\r\n\r\n") {
                self.seen = 0;
                return match judge(&bytes[..at]) {
                    Ok(next) => {
                        self.state = next;
                        Step::Pass(at)
                    }
                    Err(fault) => Step::Refuse(fault),
                };
            }
        }
        if bytes.len() >= MOST_HEAD {
            let line = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
            return Step::Refuse(if line > MOST_TARGET { Fault::TargetTooLong } else { Fault::HeadTooLarge });
        }
        self.seen = at;
        Step::More
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Step {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            let long = bytes.len() >= MOST_SIZE_LINE;
            return if long { Step::Broken("a chunk's size line is too long") } else { Step::More };
        };
        let Some(line) = bytes[..end].strip_suffix(b"\r") else {
            return Step::Broken("a chunk's size line does not end in CR LF");
        };
        if end >= MOST_SIZE_LINE || line.iter().any(|b| is_control(*b)) {
            return Step::Broken("a chunk's size line is malformed");
        }
        // Extensions mean nothing to us and are not passed on; they may stand there (RFC 9112, section 7.1.1).
        let digits = line.split(|b| *b == b';').next().unwrap_or_default();
        let sound = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
        match size {
            Some(size) if sound => {
                self.state = if size == 0 { State::Trailers(0, 0) } else { State::ChunkData(size) };
                Step::Pass(end + 1)
            }
            _ => Step::Broken("a chunk's size is not a number"),
        }
    }

    fn trailer(&mut self, bytes: &[u8], size: usize, fields: usize) -> Step {
        let end = bytes.iter().position(|b| *b == b'\n');
        if size + end.unwrap_or(bytes.len()) > MOST_TRAILERS || fields > MOST_FIELDS {
            return Step::Broken("the trailers are too large");
        }
        let Some(end) = end else { return Step::More };
        let Some(line) = bytes[..end].strip_suffix(b"\r") else {
            return Step::Broken("a trailer does not end in CR LF");
        };
        if line.is_empty() {
            self.state = State::Head;
            return Step::Pass(end + 1);
        }
        if line.iter().any(|b| is_control(*b)) || field(line).is_none_or(|(name, _)| is_framing(name)) {
            return Step::Broken("a trailer is malformed");
        }
        self.state = State::Trailers(size + end + 1, fields + 1);
        Step::Pass(end + 1)
    }
}

impl Fault {
    /// The status of the answer, and what it says.
    pub(crate) fn answer(self) -> (http::StatusCode, &'static str) {
        use http::StatusCode as S;
        match self {
            Self::Syntax => (S::BAD_REQUEST, "the request's header fields are malformed"),
            Self::RequestLine => (S::BAD_REQUEST, "the request line is malformed"),
            Self::Length => (S::BAD_REQUEST, "the length of the request is ambiguous"),
            Self::Host => (S::BAD_REQUEST, "the request must name exactly one valid host"),
            Self::Upgrade => (S::BAD_REQUEST, "a request that changes the protocol cannot have a body"),
            Self::TargetTooLong => (S::URI_TOO_LONG, "the address is longer than 8 KiB"),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the request's header fields are more than 100 or larger than 32 KiB",
            ),
            Self::Version => (S::HTTP_VERSION_NOT_SUPPORTED, "this gateway speaks HTTP/1.1"),
            Self::Connect => (S::METHOD_NOT_ALLOWED, "this gateway is no forward proxy"),
            Self::Slow => (S::REQUEST_TIMEOUT, "the request did not arrive in time"),
        }
    }
}

/// Judges a whole head, which ends in an empty line and holds no control characters but line ends and tabs.
fn judge(head: &[u8]) -> Result<State, Fault> {
    let mut lines = head[..head.len() - 4].split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let version_11 = request_line(lines.next().unwrap_or_default())?;
    let mut said = Said::default();
    for (count, line) in lines.enumerate() {
        if count >= MOST_FIELDS {
            return Err(Fault::HeadTooLarge);
        }
        let (name, value) = field(line).ok_or(Fault::Syntax)?;
        said.hear(name, value, version_11)?;
    }
    if said.hosts > 1 || (said.hosts == 0 && version_11) {
        return Err(Fault::Host);
    }
    let switches = version_11 && said.websocket && said.connection_upgrade;
    match (said.chunked, said.length) {
        (true, Some(_)) => Err(Fault::Length),
        (true, None) | (false, Some(1..)) if switches => Err(Fault::Upgrade),
        (true, None) => Ok(State::ChunkSize),
        (false, Some(length @ 1..)) => Ok(State::Body(length)),
        _ if switches => Ok(State::Undecided),
        _ => Ok(State::Head),
    }
}

impl Said {
    fn hear(&mut self, name: &[u8], value: &[u8], version_11: bool) -> Result<(), Fault> {
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            // Digits only, once: no sign, no list, no number that overflows.
            let sound = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            if !sound || length.is_none() || self.length.is_some() {
                return Err(Fault::Length);
            }
            self.length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !version_11 || self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::Length);
            }
            self.chunked = true;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
            self.connection_upgrade |= options.any(|o| o.eq_ignore_ascii_case(b"upgrade"));
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.websocket |= value.eq_ignore_ascii_case(b"websocket");
        }
        Ok(())
    }
}

/// Whether the version is 1.1 (else it is 1.0).
fn request_line(line: &[u8]) -> Result<bool, Fault> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    if !is_token(method) || method.len() > 32 || target.is_empty() || target.contains(&b'\t') {
        return Err(Fault::RequestLine);
    }
    let version_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Fault::Version);
        }
        _ => return Err(Fault::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(Fault::Connect);
    }
    if target.len() > MOST_TARGET {
        return Err(Fault::TargetTooLong);
    }
    let absolute = target.get(..7).is_some_and(|s| s.eq_ignore_ascii_case(b"http://"));
    let form = target[0] == b'/' || absolute || (target == b"*" && method == b"OPTIONS");
    // A fragment is never sent; a library that drops it would see another target than one that does not.
    if !form || target.contains(&b'#') { Err(Fault::RequestLine) } else { Ok(version_11) }
}

/// A field line's name and its value without the white space around it. No white space may touch the name
/// (RFC 9112, section 5.1), which also refuses folded lines (section 5.2).
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|b| *b == b':')?;
    let name = &line[..colon];
    is_token(name).then(|| (name, line[colon + 1..].trim_ascii()))
}

/// Fields that say where a message ends or goes: never in a trailer.
fn is_framing(name: &[u8]) -> bool {
    let names: [&[u8]; 5] = [b"content-length", b"transfer-encoding", b"host", b"connection", b"upgrade"];
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Control characters, the tab apart.
fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f
}
