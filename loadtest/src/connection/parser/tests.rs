//! Known answers, broken ones, any bytes at all, and every way to cut them into pieces.

use proptest::prelude::*;

use super::*;

/// Reads `input` in pieces as a connection does: what is not used is given again with more.
fn read(
    input: &[u8],
    cuts: &[usize],
    to_head: bool,
) -> (Result<Parser, BadAnswer>, Vec<u8>, Vec<u8>) {
    let mut parser = Parser::new(to_head);
    let (mut body, mut pending) = (Vec::new(), Vec::new());
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        if parser.is_done() {
            pending.extend_from_slice(&input[pair[0]..pair[1]]);
            continue;
        }
        pending.extend_from_slice(&input[pair[0]..pair[1]]);
        match parser.feed(&pending, &mut |piece| body.extend_from_slice(piece)) {
            Ok(used) => drop(pending.drain(..used)),
            Err(error) => return (Err(error), body, Vec::new()),
        }
    }
    (Ok(parser), body, pending)
}

fn whole(input: &str) -> (Parser, String) {
    let (parser, body, rest) = read(input.as_bytes(), &[], false);
    assert!(rest.is_empty(), "left over: {rest:?}");
    (parser.unwrap(), String::from_utf8(body).unwrap())
}

#[test]
fn a_length_and_what_follows_it() {
    let (parser, body, rest) =
        read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", &[], false);
    let parser = parser.unwrap();
    assert!(parser.is_done() && parser.keep_alive());
    assert_eq!(
        (parser.status(), parser.bytes(), body.as_slice(), rest.as_slice()),
        (200, 3, &b"abc"[..], &b"def"[..])
    );
}

#[test]
fn chunks_with_extensions_and_trailers() {
    let (parser, body) = whole(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Length: 9\r\n\r\n3;a=b\r\nabc\r\n0A \r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    );
    assert!(parser.is_done() && parser.keep_alive());
    assert_eq!(body, "abc0123456789");
}

#[test]
fn until_the_connection_closes() {
    let (mut parser, body) = whole("HTTP/1.0 200 OK\r\n\r\nabc");
    assert!(!parser.is_done() && !parser.keep_alive());
    assert_eq!(body, "abc");
    assert_eq!(parser.end(), Ok(()));
    assert!(parser.is_done());
}

#[test]
fn hints_come_before_the_answer() {
    let (parser, _) = whole(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    );
    assert!(parser.is_done() && parser.keep_alive());
    assert_eq!(parser.status(), 204);
}

#[test]
fn answers_without_a_body_whatever_their_length() {
    for (head, to_head) in
        [("304 Not Modified", false), ("204 No Content", false), ("200 OK", true)]
    {
        let text = format!("HTTP/1.1 {head}\r\nContent-Length: 5\r\n\r\n");
        let (parser, body, _) = read(text.as_bytes(), &[], to_head);
        assert!(parser.unwrap().is_done() && body.is_empty(), "{head}");
    }
}

#[test]
fn connection_and_location() {
    let (parser, _) = whole(
        "HTTP/1.1 302 Found\r\nConnection: x, Close\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n",
    );
    assert!(!parser.keep_alive());
    assert_eq!(parser.into_location().as_deref(), Some("/there"));
    let (parser, _) =
        whole("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n");
    assert!(parser.keep_alive());
}

#[test]
fn many_headers_are_read_and_too_many_refused() {
    let with = |count: usize| {
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "A: b\r\n".repeat(count))
    };
    assert!(whole(&with(500)).0.is_done());
    assert!(read(with(2000).as_bytes(), &[], false).0.is_err());
}

#[test]
fn broken_answers() {
    let error = |text: &str| read(text.as_bytes(), &[], false).0.unwrap_err();
    assert!(matches!(error("SSH-2.0-OpenSSH\r\n\r\n"), BadAnswer::Head(_)));
    assert_eq!(
        error("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        BadAnswer::Length
    );
    assert_eq!(error("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n"), BadAnswer::Length);
    for chunk in ["x\r\n", "\r\n", "11111111111111111\r\n", "1\r\nab"] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(error(&text), BadAnswer::Chunk, "{chunk:?}");
    }
    let (mut parser, _) = whole("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(parser.end(), Err(BadAnswer::Short));
}

/// Answers, mostly right, with a body framed in one of the three ways.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let chunk = proptest::collection::vec(any::<u8>(), 1..40);
    let body = proptest::collection::vec(chunk, 0..5);
    (100_u16..600, body, 0..3_u8).prop_map(|(status, chunks, framing)| {
        let mut text = format!("HTTP/1.1 {status} X\r\nServer: test\r\n").into_bytes();
        let joined = chunks.concat();
        match framing {
            0 => {
                text.extend_from_slice(
                    format!("Content-Length: {}\r\n\r\n", joined.len()).as_bytes(),
                );
                text.extend_from_slice(&joined);
            }
            1 => {
                text.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in &chunks {
                    text.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    text.extend_from_slice(chunk);
                    text.extend_from_slice(b"\r\n");
                }
                text.extend_from_slice(b"0\r\n\r\n");
            }
            _ => {
                text.extend_from_slice(b"\r\n");
                text.extend_from_slice(&joined);
            }
        }
        text
    })
}

fn same(input: &[u8], cuts: &[usize], to_head: bool) {
    let (one, one_body, one_rest) = read(input, &[], to_head);
    let (other, other_body, other_rest) = read(input, cuts, to_head);
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.state, other.state);
            assert_eq!(
                (one.status(), one.bytes(), one.keep_alive()),
                (other.status(), other.bytes(), other.keep_alive())
            );
            assert_eq!((one_body, one_rest), (other_body, other_rest));
        }
        (one, other) => assert_eq!(one.unwrap_err(), other.unwrap_err()),
    }
}

proptest! {
    #[test]
    fn pieces_change_nothing(input in answers(), cuts in proptest::collection::vec(any::<usize>(), 0..12), to_head: bool) {
        same(&input, &cuts, to_head);
    }

    #[test]
    fn one_byte_at_a_time_changes_nothing(input in answers()) {
        let cuts: Vec<_> = (0..input.len()).collect();
        same(&input, &cuts, false);
    }

    #[test]
    fn no_bytes_make_it_panic(input in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(any::<usize>(), 0..4)) {
        let _ = read(&input, &cuts, false);
    }

    #[test]
    fn no_body_makes_it_panic(input in proptest::collection::vec(any::<u8>(), 0..300), framing in 0..3_usize) {
        let head = ["Transfer-Encoding: chunked", "Content-Length: 100", "Connection: close"][framing];
        let mut text = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").into_bytes();
        text.extend_from_slice(&input);
        same(&text, &[7, 60, 80, 200], false);
    }
}
