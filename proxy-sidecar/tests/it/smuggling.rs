//! Messages that two parsers could read in two ways: refused with 400, and the connection closed, before the cluster sees a byte.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testbed::http::{Reply, Server};

use crate::{Client, http_proxy, raw_endpoint, read_until};

#[test]
fn ambiguous_requests_never_reach_the_cluster() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let endpoint = Server::start("127.0.0.1:0", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::text(200, "reached")
    })
    .unwrap();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let corpus = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\nHost: a\nContent-Length: 5\n\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nX: \rTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for message in corpus {
        let mut client = Client::connect(&address);
        client.send(message.as_bytes());
        client.send(smuggled.as_bytes());
        let response = client.response();
        assert_eq!(
            (response.status, response.header("connection")),
            (400, Some("close")),
            "{message:?}: {}",
            response.text()
        );
        assert!(response.text().contains("request refused"), "{}", response.text());
        assert!(
            !String::from_utf8_lossy(&client.rest()).contains("HTTP/1.1"),
            "{message:?} was followed by a second answer"
        );
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

#[test]
fn a_chunked_body_that_breaks_off_its_coding_ends_the_connection() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (_proxy, address) = http_proxy(&[&endpoint]);
    for body in ["5\r\nhelloX\r\n0\r\n\r\n", "zz\r\n", "5\nhello\r\n0\r\n\r\n"] {
        let mut client = Client::connect(&address);
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        let response = client.response();
        assert_eq!(
            (response.status, response.header("connection")),
            (400, Some("close")),
            "{body:?}"
        );
    }
}

#[test]
fn an_answer_that_is_not_trusted_is_not_passed_on() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nab",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nab",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        let endpoint = raw_endpoint(move |mut stream| {
            if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let (_proxy, address) = http_proxy(&[&endpoint]);
        let response = Client::connect(&address).get("/");
        assert_eq!(response.status, 502, "{answer:?}");
        assert_eq!(
            response.header("proxy-status"),
            Some("proxy-sidecar; error=http_protocol_error; details=\"untrusted\""),
            "{answer:?}"
        );
    }
}

#[test]
fn bytes_after_a_response_do_not_answer_the_next_request() {
    let endpoint = raw_endpoint(|mut stream| {
        while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            stream
                .write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                )
                .unwrap();
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "good");
    }
}

#[test]
fn a_pipelined_request_is_not_taken_for_the_body_of_a_failed_one() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let endpoint = raw_endpoint(move |mut stream| {
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        if head.contains("/smuggled") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        // Reads the body, and breaks off before it answers.
        let end: &[u8] = if head.contains("/b") { b"\r\n\r\n" } else { b"END" };
        read_until(&mut stream, end);
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let second = format!("POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", inner.len());
    client.send(
        format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            second.len()
        )
        .as_bytes(),
    );
    std::thread::sleep(std::time::Duration::from_millis(50));
    let body = format!("{}END", "x".repeat(second.len() - 3));
    client.send(format!("{body}{second}{inner}").as_bytes());
    for request in ["the first", "the second, whose body is the third"] {
        assert_eq!(client.response().status, 502, "{request}");
    }
    client.close_write();
    assert_eq!(client.rest(), b"");
    assert_eq!(seen.load(Ordering::Relaxed), 0);
}

#[test]
fn a_body_where_none_may_be_does_not_answer_the_next_request() {
    let endpoint = raw_endpoint(|mut stream| {
        while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nContent-Length: 42\r\n\r\n")
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 204);
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}
