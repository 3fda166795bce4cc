//! What the fuzz targets throw arbitrary bytes at, with what has to hold of it. Not for anybody else.

use crate::endpoints::fuzzing as names;
use crate::message::head::{Framing, Request, Response, Rewrite, Rules, complete};
use crate::message::{Decoder, Step};
use crate::starttls::postgres;

/// A head passes as what it was understood as, and as nothing else: what goes on is understood in the same way, and goes on as it is.
pub fn heads(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let rules = Rules {
        upgrades: vec!["websocket".into(), "tcp".into()],
        equal_lengths: kind & 2 != 0,
        bare_line_feeds: kind & 4 != 0,
        hash_by: None,
    };
    if kind & 1 == 0 {
        request(data, &rules);
    } else {
        response(data, &rules, kind & 8 != 0);
    }
}

fn request(data: &[u8], rules: &Rules) {
    let Ok(Some(length)) = complete(data, false) else {
        return;
    };
    let Ok(first) = Request::parse(&data[..length], rules) else {
        return;
    };
    if let Some(place) = &first.connect {
        // Nothing of it goes on.
        assert!(!first.keep_alive && place.contains(':'));
        return;
    }
    let as_sent = |request: &Request| {
        let mut out = Vec::new();
        request.encode(&mut out, None, "");
        out
    };
    let out = as_sent(&first);
    assert_eq!(complete(&out, false), Ok(Some(out.len())), "it is one head");
    let again = Request::parse(&out, rules).expect("what goes on is understood");
    assert_eq!(
        (again.framing, again.is_head, again.idempotent, &again.upgrade),
        (first.framing, first.is_head, first.idempotent, &first.upgrade)
    );
    assert_eq!(*again.host(), *first.host());
    assert_eq!(as_sent(&again), out);
}

fn response(data: &[u8], rules: &Rules, is_head: bool) {
    let method = if is_head { "HEAD" } else { "GET" };
    let asked = format!("{method} / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    let asked = Request::parse(asked.as_bytes(), rules).expect("it is a request");
    let rewrite = Rewrite {
        endpoint: Some("es-1.example:9200"),
        prefix: "/api",
        host: b"app.example",
        is_secure: is_head,
    };
    let Ok(Some(length)) = complete(data, rules.bare_line_feeds) else {
        return;
    };
    let Ok(first) = Response::parse(&data[..length], &asked, rules, &rewrite) else {
        return;
    };
    let framing = first.framing_towards(&asked);
    let mut out = Vec::new();
    first.encode(&mut out, framing, false);
    assert_eq!(complete(&out, false), Ok(Some(out.len())), "it is one head");
    let as_it_is = Rewrite {
        endpoint: None,
        prefix: "",
        host: b"",
        is_secure: false,
    };
    let strict = Rules::default();
    let again = Response::parse(&out, &asked, &strict, &as_it_is).expect("what goes on is understood");
    assert_eq!((again.status, again.framing), (first.status, framing));
    assert!(
        again.reusable || first.is_interim(),
        "nothing in it is ambiguous any more"
    );
}

/// A body is the same however it is cut, and never longer than what came.
pub fn bodies(data: &[u8]) {
    let [kind, piece, data @ ..] = data else {
        return;
    };
    let framing = match kind % 3 {
        0 => Framing::Chunked,
        1 => Framing::Length((*kind).into()),
        _ => Framing::UntilClose,
    };
    let whole = decode(framing, data, data.len().max(1));
    let pieces = decode(framing, data, usize::from(*piece).max(1));
    assert_eq!(pieces, whole);
    if let Some((content, rest)) = whole {
        assert!(content.len() + rest <= data.len());
    }
}

/// Content, and how much comes after the end; none when the coding is broken. Without an end, all was content or framing.
fn decode(framing: Framing, data: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
    let (mut decoder, mut content, mut at, mut end) = (Decoder::new(framing), Vec::new(), 0, 0);
    loop {
        match decoder.step(&data[at..end]).ok()? {
            Step::Data(count) => {
                assert!(count > 0 && count <= end - at);
                content.extend_from_slice(&data[at..at + count]);
                decoder.take(count as u64);
                at += count;
            }
            Step::Skip(count) => at += count,
            Step::End { consumed, .. } => return Some((content, data.len() - at - consumed)),
            Step::Over => unreachable!("the end was not told"),
            Step::More if end == data.len() => return Some((content, 0)),
            Step::More => end = data.len().min(end + piece),
        }
    }
}

/// Whatever a name server answers, it is no answer or a few addresses.
pub fn answers(data: &[u8]) {
    names::answers(data);
}

/// What a client and a server of PostgreSQL say before the login.
pub fn startup(data: &[u8]) {
    postgres::fuzz(data);
}
