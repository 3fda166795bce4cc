//! What endpoints do wrong, and what becomes of requests then.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use http::Response;
use testbed::tls::{Authority, Front};
use tokio::task::JoinSet;

use super::peer::{After, Client, Endpoint, Turn, answer, ask, field, read, run};
use super::proxy;
use crate::{nobody, raw_endpoint, read_until, wait_for_metric};

/// An endpoint that says this of the first request of each connection, frame by frame, and nothing of any other.
fn saying_of_a_request(frame: &'static [u8]) -> String {
    with_settings(b"\0\0\0\x04\0\0\0\0\0", frame)
}

/// The same, with a SETTINGS frame of its own.
fn with_settings(settings: &'static [u8], frame: &'static [u8]) -> String {
    raw_endpoint(move |stream| speak(stream, settings, frame))
}

fn speak(mut stream: TcpStream, settings: &[u8], frame: &[u8]) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).unwrap();
    stream.write_all(settings).unwrap();
    let mut has_said = false;
    while let Some((kind, flags, payload)) = frame_of(&mut stream) {
        const ACKNOWLEDGED: u8 = 1;
        match kind {
            4 if flags & ACKNOWLEDGED == 0 => stream.write_all(b"\0\0\0\x04\x01\0\0\0\0").unwrap(),
            6 if flags & ACKNOWLEDGED == 0 => {
                stream.write_all(b"\0\0\x08\x06\x01\0\0\0\0").unwrap();
                stream.write_all(&payload).unwrap();
            }
            1 if !has_said => {
                has_said = true;
                stream.write_all(frame).unwrap();
            }
            _ => {}
        }
    }
}

/// Kind, flags and payload. RFC 9113, section 4.1.
fn frame_of(stream: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], payload))
}

/// GOAWAY: nothing of this connection was looked at, in order.
const GOAWAY: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// RST_STREAM of the first stream: it was refused, or failed.
const REFUSED: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07";
const FAILED: &[u8] = b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02";

#[test]
fn what_was_not_looked_at_goes_elsewhere_whatever_it_is() {
    for frame in [GOAWAY, REFUSED] {
        let (first, second) = (saying_of_a_request(frame), Endpoint::saying("second"));
        let (proxy, address) = crate::proxy("h2c", &[&first, &second.address], &["--balance", "sticky"]);
        run(async {
            let client = Client::connect(&address).await;
            let mut number = 0;
            // Which one is asked first is by chance.
            while number < 20 && !retried(&proxy) {
                assert_eq!(client.post("/", b"a body").await.body, "second", "{number}");
                number += 1;
            }
        });
    }
}

fn retried(proxy: &testbed::process::Running) -> bool {
    let metrics = testbed::client::get(&proxy.address("admin listening"), "/metrics")
        .unwrap()
        .text();
    metrics.lines().any(|line| {
        line.strip_prefix("proxy_retries_total{service=\"default\",outcome=\"tried\"} ")
            .is_some_and(|count| count != "0")
    })
}

#[test]
fn one_goaway_is_one_event_however_many_requests_it_leaves() {
    let (first, second) = (saying_of_a_request(GOAWAY), Endpoint::saying("second"));
    let (proxy, address) = crate::proxy("h2c", &[&first, &second.address], &[]);
    run(async {
        let client = Client::connect(&address).await;
        for answer in client.at_once(100, "POST", b"a body").await {
            assert_eq!(answer.body, "second");
        }
    });
    assert!(retried(&proxy));
    wait_for_metric(&proxy, "proxy_retries_total{service=\"default\",outcome=\"denied\"} 0");
}

/// DATA of no stream, which is an error of the connection: RFC 9113, section 6.1.
const BROKEN: &[u8] = b"\0\0\0\0\0\0\0\0\0";

#[test]
fn a_connection_that_speaks_nonsense_fails_no_question() {
    let (first, second) = (saying_of_a_request(BROKEN), Endpoint::saying("second"));
    let (_proxy, address) = crate::proxy("h2c", &[&first, &second.address], &[]);
    run(async {
        let client = Client::connect(&address).await;
        for answer in client.at_once(8, "GET", b"").await {
            assert_eq!(answer.body, "second");
        }
    });
}

#[test]
fn an_endpoint_that_allows_nothing_is_not_asked_again_and_again() {
    let endpoint = with_settings(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0", GOAWAY);
    let (proxy, address) = crate::proxy("h2c", &[&endpoint], &[]);
    run(async {
        let answer = Client::connect(&address).await.post("/", b"a body").await;
        assert_eq!(answer.status, 503);
        assert!(answer.body.contains("it allows no request"), "{}", answer.body);
    });
    let fds = std::fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap().count();
    assert!(fds < 30, "{fds}");
}

#[test]
fn one_that_wants_no_further_connection_is_not_asked_again_and_again() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let endpoint = raw_endpoint(move |stream| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 {
            // One request at once.
            speak(stream, b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x01", b"");
        }
    });
    let (_proxy, address) = crate::proxy("h2c", &[&endpoint], &["--response-timeout", "1s"]);
    run(async {
        let client = Client::connect(&address).await;
        let answers = client.at_once(10, "POST", b"a body").await;
        let full = answers
            .iter()
            .filter(|answer| answer.body.contains("all of its connections were full for 1s"));
        assert_eq!(full.count(), 9, "{answers:?}");
        let late = answers.iter().filter(|answer| answer.status == 504);
        assert_eq!(late.count(), 1, "{answers:?}");
    });
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted < 10, "{accepted} connections in a second");
}

#[test]
fn a_connection_that_is_old_at_once_carries_one_request() {
    let endpoint = Endpoint::saying("done");
    let (_proxy, address) = proxy("h2c", &[&endpoint], &["--upstream-max-age", "0s"]);
    run(async {
        let client = Client::connect(&address).await;
        for _ in 0..5 {
            assert_eq!(client.get("/").await.body, "done");
        }
    });
    assert!((5..=6).contains(&endpoint.accepted()), "{}", endpoint.accepted());
}

#[test]
fn an_endpoint_that_does_not_take_a_body_is_at_fault() {
    let endpoint = with_settings(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0", b"");
    let (_proxy, address) = crate::proxy("h2c", &[&endpoint], &["--idle-timeout", "500ms"]);
    run(async {
        let answer = Client::connect(&address).await.post("/", b"a body").await;
        assert_eq!(answer.status, 504);
        assert!(answer.body.contains("did not answer within 500ms"), "{}", answer.body);
    });
}

#[test]
fn there_is_no_101() {
    // HEADERS of the first stream: the literal field `:status: 101`.
    let endpoint = saying_of_a_request(b"\0\0\x05\x01\x04\0\0\0\x01\x08\x03101");
    let (_proxy, address) = crate::proxy("h2c", &[&endpoint], &[]);
    run(async {
        let answer = Client::connect(&address).await.get("/").await;
        assert_eq!(answer.status, 502);
        assert!(
            answer.body.contains("101, which HTTP/2 does not have"),
            "{}",
            answer.body
        );
    });
}

#[test]
fn a_request_that_was_reset_waits_for_no_turn() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        answer(turn.respond, "done");
        After::Stay
    });
    let (proxy, address) = proxy("h2c", &[&endpoint], &["--max-requests", "1"]);
    run(async {
        let (first, second) = (Client::connect(&address).await, Client::connect(&address).await);
        let mut under_way = JoinSet::new();
        under_way.spawn(async move { first.get("/").await.body });
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..200 {
            let (response, mut send) = second.begin(ask("GET", "/")).await;
            // It has to be taken before it is reset: the codec counts what is not.
            tokio::time::sleep(Duration::from_millis(2)).await;
            send.send_reset(Reason::CANCEL);
            drop(response);
        }
        assert_eq!(
            second.get("/").await.body,
            "done",
            "after the first, and before none that has left"
        );
        assert_eq!(under_way.join_all().await, ["done"]);
    });
    assert_eq!(endpoint.asked(), 2);
    wait_for_metric(
        &proxy,
        "proxy_broken_exchanges_total{service=\"default\",by=\"client\"} 200",
    );
}

#[test]
fn what_may_have_been_done_is_only_done_again_if_that_is_harmless() {
    let first = saying_of_a_request(FAILED);
    let (proxy, address) = crate::proxy("h2c", &[&first], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let answer = client.post("/", b"a body").await;
        assert_eq!(answer.status, 502);
        assert!(answer.body.contains("broke off before it answered"), "{}", answer.body);
        assert_eq!(
            field(&answer.fields, "proxy-status"),
            "proxy-sidecar; error=connection_terminated; details=\"broken_off\""
        );
    });
    wait_for_metric(&proxy, "proxy_retries_total{service=\"default\",outcome=\"tried\"} 0");
}

#[test]
fn a_connection_that_breaks_fails_calls_and_not_questions() {
    let asked = AtomicUsize::new(0);
    let endpoint = Endpoint::start(100, move |turn: Turn| {
        let number = asked.fetch_add(1, Ordering::SeqCst);
        async move {
            if number == 0 || turn.request.method() == "POST" {
                return After::Break;
            }
            answer(turn.respond, "done");
            After::Stay
        }
    });
    let (proxy, address) = proxy("h2c", &[&endpoint], &["--access-log", "errors"]);
    run(async {
        let client = Client::connect(&address).await;
        assert_eq!(client.get("/").await.body, "done");
        let call = client.call("/t.Orders/Pay", b"\0\0\0\0\0").await;
        assert_eq!(
            (
                call.status,
                field(&call.fields, "grpc-status"),
                field(&call.fields, "content-type")
            ),
            (200, "14", "application/grpc")
        );
        let message = field(&call.fields, "grpc-message");
        assert!(message.starts_with("proxy-sidecar: endpoint 127.0.0.1:"), "{message}");
        assert_eq!(client.get("/").await.body, "done");
    });
    wait_for_metric(
        &proxy,
        "proxy_grpc_calls_total{service=\"default\",code=\"unavailable\"} 1",
    );
    let line = proxy.wait_for_log("\"path\":\"/t.Orders/Pay\"");
    assert!(
        line.contains("\"status\":200,\"grpc_status\":14,\"complete\":true"),
        "{line}"
    );
}

#[test]
fn a_response_that_is_cut_does_not_look_complete() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        let mut respond = turn.respond;
        let mut back = respond.send_response(Response::new(()), false).unwrap();
        back.send_data(Bytes::from_static(b"a part"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        After::Break
    });
    let (proxy, address) = proxy("h2c", &[&endpoint], &["--access-log", "errors"]);
    run(async {
        let client = Client::connect(&address).await;
        let error = client.send(ask("GET", "/"), b"").await.unwrap_err();
        assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
        let call = client.call("/t.Orders/List", b"\0\0\0\0\0").await;
        assert_eq!(
            (call.body.as_str(), field(&call.trailers, "grpc-status")),
            ("a part", "14")
        );
    });
    wait_for_metric(
        &proxy,
        "proxy_broken_exchanges_total{service=\"default\",by=\"endpoint\"} 2",
    );
    let line = proxy.wait_for_log("\"path\":\"/t.Orders/List\"");
    assert!(
        line.contains("\"status\":200,\"grpc_status\":14,\"complete\":false"),
        "{line}"
    );
}

#[test]
fn more_requests_than_an_endpoint_allows_on_a_connection_have_several() {
    let endpoint = Endpoint::start(2, |turn: Turn| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        answer(turn.respond, "done");
        After::Stay
    });
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let start = Instant::now();
        for answer in client.at_once(10, "GET", b"").await {
            assert_eq!(answer.body, "done");
        }
        assert!(start.elapsed() < Duration::from_millis(1500), "none waits for another");
    });
    assert_eq!(endpoint.accepted(), 5);
}

#[test]
fn requests_that_come_at_once_share_what_the_first_one_opens() {
    let endpoint = Endpoint::saying("done");
    let (proxy, address) = proxy("h2c", &[&endpoint], &[]);
    proxy.wait_for_log("the cluster is there");
    run(async {
        let client = Client::connect(&address).await;
        for answer in client.at_once(50, "GET", b"").await {
            assert_eq!(answer.body, "done");
        }
    });
    assert_eq!(endpoint.accepted(), 1, "the one that showed that the cluster is there");
}

#[test]
fn an_old_connection_ends_with_its_last_request() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        if turn.request.uri().path() == "/long" {
            tokio::time::sleep(Duration::from_millis(2500)).await;
        }
        answer(turn.respond, "done");
        After::Stay
    });
    let (_proxy, address) = proxy("h2c", &[&endpoint], &["--upstream-max-age", "1s"]);
    run(async {
        let client = Client::connect(&address).await;
        let (response, mut send) = client.begin(ask("GET", "/long")).await;
        send.send_data(Bytes::new(), true).unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(1500) {
            assert_eq!(client.get("/").await.body, "done");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!((2..=3).contains(&endpoint.accepted()), "{}", endpoint.accepted());
        assert_eq!(read(response).await.unwrap().body, "done");
    });
}

#[test]
fn an_endpoint_that_leaves_in_order_loses_nothing() {
    let endpoints: Vec<_> = (0..2)
        .map(|_| {
            Endpoint::start(100, |turn: Turn| async move {
                answer(turn.respond, "done");
                if turn.request.uri().path() == "/last" {
                    After::Leave
                } else {
                    After::Stay
                }
            })
        })
        .collect();
    let (_proxy, address) = proxy("grpc", &[&endpoints[0], &endpoints[1]], &[]);
    run(async {
        let client = Client::connect(&address).await;
        for number in 0..200 {
            let path = if number % 5 == 0 { "/last" } else { "/" };
            assert_eq!(client.post(path, b"a body").await.body, "done", "{number}");
        }
    });
    let accepted: usize = endpoints.iter().map(Endpoint::accepted).sum();
    assert!(accepted > 20, "{accepted}");
}

#[test]
fn one_that_takes_connections_and_says_nothing_gets_no_request() {
    let (silent, second) = (
        raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never"))),
        Endpoint::saying("second"),
    );
    let (_proxy, address) = crate::proxy("h2c", &[&silent, &second.address], &[]);
    run(async {
        let client = Client::connect(&address).await;
        for number in 0..10 {
            let start = Instant::now();
            assert_eq!(client.post("/", b"a body").await.body, "second", "{number}");
            assert!(start.elapsed() < Duration::from_secs(3), "{number}");
        }
    });
}

#[test]
fn why_nobody_can_be_asked_is_told() {
    let old = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"SM\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    for (endpoint, told) in [(old, "no HTTP/2"), (nobody(), "refused")] {
        let (_proxy, address) = crate::proxy("grpc", &[&endpoint], &[]);
        run(async {
            let client = Client::connect(&address).await;
            let call = client.call("/t.Orders/Pay", b"\0\0\0\0\0").await;
            assert_eq!(field(&call.fields, "grpc-status"), "14");
            let message = field(&call.fields, "grpc-message");
            assert!(message.contains(told), "{message}");
            let answer = client.get("/").await;
            assert_eq!(answer.status, 503);
            assert!(answer.body.contains(told), "{}", answer.body);
            let head = client.send(ask("HEAD", "/"), b"").await.unwrap();
            assert_eq!((head.status, head.body.as_str()), (503, ""));
        });
    }
}

#[test]
fn those_who_wait_for_the_same_connection_fail_with_it() {
    let silent = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (_proxy, address) = crate::proxy("h2c", &[&silent], &["--connect-timeout", "1s"]);
    run(async {
        let client = Client::connect(&address).await;
        let start = Instant::now();
        for answer in client.at_once(50, "POST", b"a body").await {
            assert_eq!(answer.status, 503);
            assert!(answer.body.contains("no HTTP/2 within 1s"), "{}", answer.body);
        }
        // It may have been under way when they came.
        assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
    });
}

#[test]
fn an_endpoint_in_tls_has_to_agree_to_http2() {
    let endpoint = Endpoint::saying("in TLS");
    let (authority, files) = (Authority::new(), tempfile::tempdir().unwrap());
    let ca = files.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let ca = format!("--ca={}", ca.display());
    for (protocols, told) in [(&["h2"][..], "in TLS"), (&[], "it does not agree to speak HTTP/2")] {
        let mut config = authority.server("127.0.0.1");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let front = Front::start(&endpoint.address, config).unwrap();
        let (_proxy, address) = crate::proxy("grpcs", &[&front.address().to_string()], &[&ca]);
        run(async {
            let client = Client::connect(&address).await;
            for _ in 0..3 {
                let answer = client.get("/").await;
                assert!(answer.body.contains(told), "{}", answer.body);
            }
        });
    }
}

#[test]
fn a_call_that_takes_too_long_is_told_as_such() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        if turn.request.uri().path() == "/begun" {
            let mut respond = turn.respond;
            let back = respond.send_response(Response::new(()), false).unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
            drop(back);
        } else {
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        After::Stay
    });
    let more = ["--response-timeout", "500ms", "--idle-timeout", "1s"];
    let (_proxy, address) = proxy("grpc", &[&endpoint], &more);
    run(async {
        let client = Client::connect(&address).await;
        let call = client.call("/t.Orders/Pay", b"\0\0\0\0\0").await;
        assert_eq!(field(&call.fields, "grpc-status"), "4");
        let call = client.call("/begun", b"\0\0\0\0\0").await;
        assert_eq!(field(&call.trailers, "grpc-status"), "14");
        let error = client.send(ask("GET", "/begun"), b"").await.unwrap_err();
        assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
        // Its body does not come.
        let (response, _send) = client.begin(ask("POST", "/")).await;
        assert_eq!(read(response).await.unwrap().status, 408);
    });
}

#[test]
fn requests_beyond_the_limit_wait_for_their_turn() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        tokio::time::sleep(Duration::from_secs(2)).await;
        answer(turn.respond, "done");
        After::Stay
    });
    let more = ["--max-requests", "1", "--response-timeout", "3s"];
    let (proxy, address) = proxy("h2c", &[&endpoint], &more);
    run(async {
        let mut all = JoinSet::new();
        for _ in 0..3 {
            // Each with a connection of its own: on one, there is one at a time.
            let client = Client::connect(&address).await;
            all.spawn(async move { client.get("/").await.body });
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut texts = all.join_all().await;
        texts.sort();
        assert_eq!(texts[..2], ["done", "done"]);
        assert!(
            texts[2].contains("1 requests are under way already; see max-requests"),
            "{}",
            texts[2]
        );
    });
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"max_requests\"} 1",
    );
}
