//! What passes, and as what.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request, Response};
use tokio::sync::mpsc::channel;
use tokio::time::timeout;

use super::peer::{After, Client, Endpoint, Turn, answer, ask, field, read, rest, run};
use super::proxy;
use crate::wait_for_metric;

/// Tells what it was sent, and has trailers.
fn echo() -> Endpoint {
    Endpoint::start(100, |turn: Turn| async move {
        let Turn {
            request, mut respond, ..
        } = turn;
        let (head, mut body) = request.into_parts();
        let mut text = format!("{} {}\n", head.method, head.uri);
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        let Ok(sent) = rest(&mut body).await else {
            return After::Stay;
        };
        text += &format!("{} bytes\n", sent.len());
        for (name, value) in body.trailers().await.unwrap().unwrap_or_default() {
            text += &format!("{}: {}\n", name.unwrap(), value.to_str().unwrap());
        }
        let response = Response::builder()
            .header("location", format!("http://{}/api/next", head.uri.authority().unwrap()))
            .header("proxy-authenticate", "Basic")
            .header("set-cookie", "a=b; Path=/api");
        let mut body = respond.send_response(response.body(()).unwrap(), false).unwrap();
        body.send_data(text.into(), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        trailers.insert("content-length", "1".parse().unwrap());
        body.send_trailers(trailers).unwrap();
        After::Stay
    })
}

#[test]
fn a_request_passes_with_its_trailers() {
    let endpoint = echo();
    let to = format!("{}/api", endpoint.address);
    let (proxy, address) = crate::proxy("h2c", &[&to], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let mut request = ask("POST", "/a?b");
        for (name, value) in [
            ("te", "trailers"),
            ("proxy-authorization", "secret"),
            ("host", "APP.example"),
            ("x-a", "1"),
        ] {
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let (response, mut body) = client.begin(request).await;
        body.send_data(Bytes::from_static(b"12345"), false).unwrap();
        let trailers = [("x-sum".parse().unwrap(), "5".parse().unwrap())];
        body.send_trailers(trailers.into_iter().collect()).unwrap();
        let answer = read(response).await.unwrap();
        assert_eq!(
            answer.body,
            format!(
                "POST http://{}/api/a?b\nte: trailers\nx-a: 1\n5 bytes\nx-sum: 5\n",
                endpoint.address
            )
        );
        assert_eq!(
            (
                answer.status,
                field(&answer.fields, "location"),
                field(&answer.fields, "set-cookie"),
                field(&answer.fields, "proxy-authenticate")
            ),
            (200, "http://app.example/next", "a=b; Path=/", "")
        );
        assert_eq!(
            (field(&answer.trailers, "grpc-status"), answer.trailers.len()),
            ("0", 1)
        );
    });
    wait_for_metric(&proxy, "proxy_requests_total{service=\"default\",class=\"2xx\"} 1");
    wait_for_metric(&proxy, "proxy_grpc_calls_total{service=\"default\",code=\"ok\"} 1");
}

#[test]
fn the_host_may_be_kept() {
    let endpoint = echo();
    let (_proxy, address) = proxy("h2c", &[&endpoint], &["--host", "keep"]);
    run(async {
        let answer = Client::connect(&address).await.get("/").await;
        assert!(answer.body.starts_with("GET http://app.example/\n"), "{}", answer.body);
    });
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let endpoint = echo();
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let with = |fields: &[(&'static str, &str)]| {
            let mut request = ask("POST", "/");
            for (name, value) in fields {
                request.headers_mut().append(*name, value.parse().unwrap());
            }
            request
        };
        for (fields, status, told) in [
            (
                &[("host", "other")][..],
                400,
                "the host of the target differs from Host",
            ),
            (
                &[("host", "app.example"), ("host", "app.example")],
                400,
                "not exactly one Host",
            ),
            (
                &[("content-length", "0"), ("content-length", "0")],
                400,
                "Content-Length more than once",
            ),
            (&[("x-a", "b"); 128], 200, ""),
            (&[("x-a", "b"); 129], 431, "more than 128 fields"),
        ] {
            let answer = client.send(with(fields), b"").await.unwrap();
            assert_eq!(answer.status, status, "{fields:?}");
            assert!(answer.body.contains(told), "{fields:?}: {}", answer.body);
        }
        for (target, status) in [("*", 400), ("?q", 400), ("/\u{e9}", 400), ("/%C3%A9?a=*", 200)] {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some("http".parse().unwrap());
            parts.authority = Some("app.example".parse().unwrap());
            parts.path_and_query = Some(http::uri::PathAndQuery::from_maybe_shared(target).unwrap());
            let mut request = ask("GET", "/");
            *request.uri_mut() = http::Uri::from_parts(parts).unwrap();
            assert_eq!(client.send(request, b"").await.unwrap().status, status, "{target}");
        }
        let connect = Request::builder()
            .method("CONNECT")
            .uri("app.example:443")
            .body(())
            .unwrap();
        assert_eq!(client.send(connect, b"").await.unwrap().status, 400);
        let head = client.send(with(&[("x-a", &"b".repeat(17_000))]), b"").await;
        assert!(head.is_err() || head.unwrap().status == 431, "max-head is 16 KiB");
        assert_eq!(client.get("/").await.status, 200, "the connection is as it was");
    });
    assert_eq!(endpoint.asked(), 3);
}

#[test]
fn both_directions_move_at_once() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        let Turn {
            request, mut respond, ..
        } = turn;
        let mut body = request.into_body();
        let mut back = respond.send_response(Response::new(()), false).unwrap();
        while let Some(Ok(data)) = body.data().await {
            body.flow_control().release_capacity(data.len()).unwrap();
            back.send_data(data, false).unwrap();
        }
        back.send_data(Bytes::new(), true).unwrap();
        After::Stay
    });
    let (_proxy, address) = proxy("grpc", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (response, mut send) = client.begin(ask("POST", "/")).await;
        let mut body = response.await.unwrap().into_body();
        for number in 0..50_u8 {
            send.send_data(vec![number; 100].into(), false).unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), vec![number; 100]);
        }
        send.send_data(Bytes::new(), true).unwrap();
        assert!(rest(&mut body).await.unwrap().is_empty());
    });
}

#[test]
fn much_passes_both_ways() {
    const SIZE: usize = 5_000_000;
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        let Turn {
            request, mut respond, ..
        } = turn;
        let sent = rest(&mut request.into_body()).await.unwrap();
        let mut back = respond.send_response(Response::new(()), false).unwrap();
        back.send_data(sent.into(), true).unwrap();
        After::Stay
    });
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    let body: Vec<u8> = (0..SIZE).map(|number| b'a' + (number % 23) as u8).collect();
    run(async {
        let client = Client::connect(&address).await;
        for answer in client.at_once(4, "POST", &body).await {
            assert!(answer.body.as_bytes() == body);
        }
    });
}

#[test]
fn a_reader_that_stands_still_holds_up_nobody_else() {
    let endpoint = Endpoint::start(1000, |turn: Turn| async move {
        let Turn {
            request, mut respond, ..
        } = turn;
        if request.uri().path() == "/small" {
            answer(respond, "small");
        } else {
            let mut back = respond.send_response(Response::new(()), false).unwrap();
            back.send_data(vec![b'x'; 1 << 20].into(), true).unwrap();
        }
        After::Stay
    });
    let (proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let mut still = Vec::new();
        for _ in 0..100 {
            let (response, _send) = client.begin(ask("GET", "/large")).await;
            still.push(response.await.unwrap());
        }
        // Its own window with us is full by then; another client has one of its own.
        let other = Client::connect(&address).await;
        let small = timeout(Duration::from_secs(5), other.get("/small")).await;
        assert_eq!(small.unwrap().body, "small");
        let rss = proxy.rss();
        assert!(rss < 40 << 20, "{rss} bytes for 100 readers of 64 KiB each");
    });
}

#[test]
fn an_interim_response_passes() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        let mut respond = turn.respond;
        let interim = Response::builder().status(103).header("link", "</a>").body(()).unwrap();
        respond.send_informational(interim).unwrap();
        answer(respond, "done");
        After::Stay
    });
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (mut response, mut send) = client.begin(ask("GET", "/")).await;
        send.send_data(Bytes::new(), true).unwrap();
        let interim = std::future::poll_fn(|context| response.poll_informational(context)).await;
        let interim = interim.unwrap().unwrap();
        assert_eq!(
            (interim.status().as_u16(), field(interim.headers(), "link")),
            (103, "</a>")
        );
        assert_eq!(read(response).await.unwrap().body, "done");
    });
}

#[test]
fn an_answer_may_come_before_the_end_of_the_request() {
    let endpoint = Endpoint::saying("enough");
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (response, mut send) = client.begin(ask("POST", "/")).await;
        send.send_data(Bytes::from_static(b"a part"), false).unwrap();
        assert_eq!(read(response).await.unwrap().body, "enough");
        let reset = std::future::poll_fn(|context| send.poll_reset(context)).await.unwrap();
        assert_eq!(reset, Reason::NO_ERROR, "the rest is not wanted");
    });
}

#[test]
fn what_a_client_resets_is_reset_at_the_endpoint() {
    let (sender, mut reasons) = channel(10);
    let endpoint = Endpoint::start(100, move |turn: Turn| {
        let sender = sender.clone();
        async move {
            let mut respond = turn.respond;
            sender.send(None).await.unwrap();
            let reset = if turn.request.uri().path() == "/begun" {
                let mut back = respond.send_response(Response::new(()), false).unwrap();
                std::future::poll_fn(|context| back.poll_reset(context)).await
            } else {
                std::future::poll_fn(|context| respond.poll_reset(context)).await
            };
            sender.send(reset.ok()).await.unwrap();
            After::Stay
        }
    });
    let (proxy, address) = proxy("grpc", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (response, mut send) = client.begin(ask("POST", "/begun")).await;
        let response = response.await.unwrap();
        assert_eq!(reasons.recv().await, Some(None), "it has arrived");
        send.send_reset(Reason::CANCEL);
        assert_eq!(reasons.recv().await, Some(Some(Reason::CANCEL)));
        drop(response);
        let (_response, mut send) = client.begin(ask("POST", "/")).await;
        assert_eq!(reasons.recv().await, Some(None), "it has arrived");
        send.send_reset(Reason::CANCEL);
        assert_eq!(reasons.recv().await, Some(Some(Reason::CANCEL)));
    });
    wait_for_metric(
        &proxy,
        "proxy_broken_exchanges_total{service=\"default\",by=\"client\"} 2",
    );
}

#[test]
fn who_speaks_another_version_is_told() {
    let endpoint = Endpoint::saying("h2");
    let (_proxy, address) = proxy("h2c", &[&endpoint], &[]);
    let response = crate::Client::connect(&address).get("/");
    assert_eq!(response.status, 400);
    assert!(
        response.text().contains("it is not HTTP/2 from the first byte"),
        "{}",
        response.text()
    );
    let plain = crate::echo();
    let (proxy, address) = crate::http_proxy(&[&plain.address().to_string()]);
    let mut client = crate::Client::connect(&address);
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(String::from_utf8_lossy(&client.rest()).contains("its endpoints would have to be h2c://"));
    proxy.wait_for_log("this service speaks HTTP/1.1");
}

#[test]
fn a_client_that_does_not_hear_a_goodbye_is_left() {
    use std::io::{Read as _, Write as _};
    let endpoint = Endpoint::saying("done");
    let (mut proxy, address) = proxy("h2c", &[&endpoint], &["--client-idle", "300ms"]);
    let mut client = std::net::TcpStream::connect(&address).unwrap();
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert!(
        all.windows(9).any(|frame| frame[3] == 7 && frame[4..] == [0; 5]),
        "GOAWAY"
    );
    wait_for_metric(&proxy, "proxy_connections{service=\"default\"} 0");
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn one_byte_after_the_other_does_not_hold_what_came_with_it() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        if turn.request.uri().path() == "/" {
            let read = rest(&mut turn.request.into_body()).await.unwrap();
            assert!(!read.is_empty());
            answer(turn.respond, "done");
        } else {
            // The response begins at once, and the request goes on.
            let mut respond = turn.respond;
            let back = respond.send_response(Response::new(()), false).unwrap();
            let _read = rest(&mut turn.request.into_body()).await;
            drop(back);
        }
        After::Stay
    });
    let (proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (_response, mut small) = client.begin(ask("POST", "/long")).await;
        for _ in 0..1500 {
            small.send_data(Bytes::from_static(b"x"), false).unwrap();
            assert_eq!(client.post("/", &[b'y'; 16_000]).await.body, "done");
        }
        let rss = proxy.rss();
        assert!(rss < 24 << 20, "{rss}");
    });
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    let endpoint = Endpoint::start(100, |turn: Turn| async move {
        if turn.request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        answer(turn.respond, "done");
        After::Stay
    });
    let (mut proxy, address) = proxy("h2c", &[&endpoint], &[]);
    run(async {
        let client = Client::connect(&address).await;
        let (response, mut send) = client.begin(ask("GET", "/slow")).await;
        send.send_data(Bytes::new(), true).unwrap();
        // It has arrived once a later one is answered.
        assert_eq!(client.get("/").await.body, "done");
        proxy.terminate();
        proxy.wait_for_log("stopping");
        assert_eq!(client.get("/").await.body, "done", "the application may still call");
        assert_eq!(read(response).await.unwrap().body, "done");
        let code = tokio::task::spawn_blocking(move || proxy.exit().code()).await.unwrap();
        assert_eq!(code, Some(0));
        let late = client.send(ask("GET", "/"), b"").await.unwrap_err();
        assert!(late.is_go_away() && late.reason() == Some(Reason::NO_ERROR), "{late}");
    });
}
