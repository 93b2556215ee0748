//! What is refused, what is let through, and that pieces make no difference.

use proptest::prelude::*;

use super::*;

/// What a scanner makes of a whole connection, given in pieces of at most `piece` bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    passed: Vec<u8>,
    refused: Option<Fault>,
    broken: bool,
    between: bool,
}

fn scan(bytes: &[u8], piece: usize) -> Outcome {
    let (mut scanner, mut held, mut outcome) = (Scanner::default(), Vec::new(), Outcome::default());
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            match scanner.step(&held) {
                Step::More => break,
                Step::Pass(n) => outcome.passed.extend(held.drain(..n)),
                Step::Skip(n) => drop(held.drain(..n)),
                Step::Refuse(fault) => {
                    outcome.refused = Some(fault);
                    return outcome;
                }
                Step::Broken(_) => {
                    outcome.broken = true;
                    return outcome;
                }
            }
        }
    }
    outcome.between = scanner.is_between() && held.is_empty();
    outcome
}

fn refused(head: &str) -> Option<Fault> {
    scan(head.as_bytes(), usize::MAX).refused
}

#[test]
fn sound_requests_pass_whole() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 0 \r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nX-Text: ü\ty\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    ] {
        let twice = [request, request].concat();
        for piece in [1, 2, 3, 7, usize::MAX] {
            let outcome = scan(twice.as_bytes(), piece);
            assert_eq!(outcome.passed, twice.as_bytes(), "{request:?} in pieces of {piece}");
            assert!(outcome.between, "{request:?} in pieces of {piece}");
        }
    }
}

#[test]
fn heads_that_can_be_read_in_two_ways_are_refused() {
    use Fault::{Connect, HeadTooLarge, Host, Length, RequestLine, Syntax, TargetTooLong, Upgrade, Version};
    let with = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\nHost: a\r\n\r\n");
    for (head, expected) in [
        (with("Content-Length: 3\r\nTransfer-Encoding: chunked"), Length),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 3"), Length),
        (with("Content-Length: 3\r\nContent-Length: 3"), Length),
        (with("Content-Length: 3\r\nContent-Length: 4"), Length),
        (with("Content-Length: 3, 3"), Length),
        (with("Content-Length: +3"), Length),
        (with("Content-Length: -3"), Length),
        (with("Content-Length: 0x3"), Length),
        (with("Content-Length: 3 3"), Length),
        (with("Content-Length:"), Length),
        (with("Content-Length: 9999999999999999999999"), Length),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), Length),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), Length),
        (with("Transfer-Encoding: identity"), Length),
        (with("Transfer-Encoding: gzip, chunked"), Length),
        (with("Transfer-Encoding: chunked, identity"), Length),
        (with("Transfer-Encoding: xchunked"), Length),
        (with("Transfer-Encoding: \"chunked\""), Length),
        (with("Transfer-Encoding: \x0bchunked"), Syntax),
        (with("Transfer-Encoding : chunked"), Syntax),
        (with(" Transfer-Encoding: chunked"), Syntax),
        (with("X: 1\r\n folded"), Syntax),
        (with("X: 1\r\n\tfolded"), Syntax),
        (with("X: 1\nTransfer-Encoding: chunked"), Syntax),
        (with("X: 1\rTransfer-Encoding: chunked"), Syntax),
        (with("X: a\0b"), Syntax),
        (with("X\0: a"), Syntax),
        (with("no colon"), Syntax),
        (with(": no name"), Syntax),
        (with("X[]: 1"), Syntax),
        (with("X: \x7f"), Syntax),
        (with("Host: b"), Host),
        ("GET / HTTP/1.1\r\nX: 1\r\n\r\n".into(), Host),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(), Length),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), Syntax),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".into(), Syntax),
        (line("GET  / HTTP/1.1"), RequestLine),
        (line("GET / HTTP/1.1 "), RequestLine),
        (line(" GET / HTTP/1.1"), RequestLine),
        (line("GET /a b HTTP/1.1"), RequestLine),
        (line("GET\t/ HTTP/1.1"), RequestLine),
        (line("GET /"), RequestLine),
        (line("G(T / HTTP/1.1"), RequestLine),
        (line("GET a HTTP/1.1"), RequestLine),
        (line("GET a:80 HTTP/1.1"), RequestLine),
        (line("GET * HTTP/1.1"), RequestLine),
        (line("GET ftp://a/ HTTP/1.1"), RequestLine),
        (line("GET /#x HTTP/1.1"), RequestLine),
        (line("GET / http/1.1"), RequestLine),
        (line("GET / HTTP/1.1x"), RequestLine),
        (line("GET / HTTP/01.1"), RequestLine),
        (line("GET / HTTP/2.0"), Version),
        (line("GET / HTTP/0.9"), Version),
        (line("CONNECT a:80 HTTP/1.1"), Connect),
        (line(&format!("GET /{} HTTP/1.1", "x".repeat(9000))), TargetTooLong),
        (line(&format!("GET /{} HTTP/1.1", "x".repeat(90_000))), TargetTooLong),
        (with(&format!("X: {}", "x".repeat(40_000))), HeadTooLarge),
        (with(&"X: 1\r\n".repeat(100)), HeadTooLarge),
        (with("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3"), Upgrade),
        (with("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked"), Upgrade),
    ] {
        assert_eq!(refused(&head), Some(expected), "{head:?}");
        for piece in [1, 5] {
            let outcome = scan(head.as_bytes(), piece);
            assert!(outcome.refused.is_some() && outcome.passed.is_empty(), "{head:?} in pieces of {piece}");
        }
    }
}

#[test]
fn chunks_that_can_be_read_in_two_ways_break_the_request() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3 ;x\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n",
        "0x3\r\nabc\r\n",
        "\r\nabc\r\n",
        ";x\r\nabc\r\n",
        "g\r\n",
        "fffffffffffffffff\r\nabc",
        "10000000000000003\r\nabc",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "0\r\nX: 1\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("3;{}\r\nabc\r\n", "x".repeat(600)),
        &format!("0\r\nX: {}\r\n\r\n", "x".repeat(9000)),
    ] {
        for piece in [1, usize::MAX] {
            assert!(scan(format!("{head}{body}").as_bytes(), piece).broken, "{body:?} in pieces of {piece}");
        }
    }
}

#[test]
fn what_follows_a_protocol_change_waits_for_the_answer() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut scanner = Scanner::default();
    let bytes = format!("{head}\x00\x01GET");
    assert_eq!(scanner.step(bytes.as_bytes()), Step::Pass(head.len()));
    assert!(scanner.is_undecided());
    assert_eq!(scanner.step(&bytes.as_bytes()[head.len()..]), Step::More);
    scanner.settle();
    assert_eq!(scanner.step(&bytes.as_bytes()[head.len()..]), Step::Refuse(Fault::Syntax));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_the_same_in_any_pieces(
        parts in proptest::collection::vec(prop_oneof![
            Just("GET / HTTP/1.1\r\n"), Just("POST /x HTTP/1.1\r\n"), Just("Host: a\r\n"), Just("\r\n"), Just("\n"),
            Just("Content-Length: 3\r\n"), Just("Transfer-Encoding: chunked\r\n"), Just("abc"), Just("3\r\n"),
            Just("0\r\n"), Just("3;x\r\n"), Just("X: y\r\n"), Just("\r"), Just(" "), Just("\0"),
        ], 0..14),
        piece in 1usize..9,
    ) {
        let bytes = parts.concat().into_bytes();
        let (whole, pieces) = (scan(&bytes, usize::MAX), scan(&bytes, piece));
        prop_assert_eq!(whole.passed, pieces.passed);
        prop_assert_eq!(whole.broken, pieces.broken);
        prop_assert_eq!(whole.refused.is_some(), pieces.refused.is_some());
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
        scan(&bytes, piece);
    }
}
