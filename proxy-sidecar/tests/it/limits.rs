//! Limits speak: each is counted, told and named in the answer.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use testbed::peer::Backend;

use crate::{Client, proxy, raw_endpoint, read_until, wait_for_metric};

#[test]
fn clients_beyond_the_limit_wait_and_are_then_told() {
    let backend = Backend::start("127.0.0.1:0", "b").unwrap();
    let (proxy, address) = proxy("http", &[&backend.address()], &["--max-connections", "4"]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let start = Instant::now();
    let response = Client::connect(&address).get("/");
    assert!(start.elapsed() >= Duration::from_millis(500), "it has waited");
    assert_eq!(
        (
            response.status,
            response.header("proxy-status"),
            response.header("connection")
        ),
        (
            503,
            Some("proxy-sidecar; error=connection_limit_reached; details=\"max_connections\""),
            Some("close")
        )
    );
    assert!(
        response
            .text()
            .contains("4 connections are open already; see max-connections")
    );
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"max_connections\"} 1",
    );
    proxy.wait_for_log("limit reached: further clients wait");
    // Those who are served do not notice.
    assert_eq!(clients[0].get("/").status, 200);
    clients.pop();
    assert_eq!(Client::connect(&address).get("/").status, 200);
}

#[test]
fn tunnels_beyond_the_limit_are_reset() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (proxy, address) = proxy("tcp", &[&endpoint], &["--max-connections", "1"]);
    let _first = Client::connect(&address);
    assert_eq!(Client::connect(&address).rest(), b"");
    proxy.wait_for_log("limit reached");
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"max_connections\"} 1",
    );
}

#[test]
fn a_turn_that_does_not_come_is_told() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (proxy, address) = proxy(
        "http",
        &[&endpoint],
        &["--max-requests", "1", "--response-timeout", "700ms"],
    );
    let mut first = Client::connect(&address);
    first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_metric(&proxy, "proxy_requests_under_way{service=\"default\"} 1");
    let start = Instant::now();
    let second = thread::spawn({
        let address = address.clone();
        move || Client::connect(&address).get("/")
    });
    assert_eq!(first.response().status, 504);
    // Its turn has come by then; it is as late as the first one was.
    let response = second.join().unwrap();
    assert_eq!(response.status, 504, "{:?}", start.elapsed());
    let mut stuck = Client::connect(&address);
    stuck.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    wait_for_metric(&proxy, "proxy_requests_under_way{service=\"default\"} 1");
    let response = Client::connect(&address).get("/");
    assert_eq!(
        (response.status, response.header("proxy-status")),
        (
            503,
            Some("proxy-sidecar; error=connection_limit_reached; details=\"max_requests\"")
        )
    );
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"max_requests\"} 1",
    );
    proxy.wait_for_log("1 requests are under way already; see max-requests");
}

#[test]
fn who_has_asked_before_its_end_gets_its_turns() {
    let endpoint = raw_endpoint(|mut stream| {
        while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            thread::sleep(Duration::from_millis(50));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let (_proxy, address) = proxy("http", &[&endpoint], &["--max-requests", "1"]);
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(&address);
            thread::spawn(move || {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3).as_bytes());
                client.close_write();
                [(); 3].map(|()| client.response().status)
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), [200; 3]);
    }
}

#[test]
fn interim_responses_are_limited_in_number() {
    for (count, status) in [(31, 200), (32, 200), (33, 502)] {
        let endpoint = raw_endpoint(move |mut stream| {
            if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                let mut answer = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(count);
                answer += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(answer.as_bytes()));
                read_until(&mut stream, b"never");
            }
        });
        let (_proxy, address) = proxy("http", &[&endpoint], &[]);
        let mut client = Client::connect(&address);
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let passed = (0..count.min(32))
            .filter(|_| read_until(&mut client.0, b"\r\n\r\n").starts_with(b"HTTP/1.1 103"))
            .count();
        assert_eq!(passed, count.min(32));
        assert_eq!(client.response().status, status, "{count}");
    }
}

#[test]
fn interim_responses_give_no_more_time() {
    let endpoint = raw_endpoint(|mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
    let (_proxy, address) = proxy("http", &[&endpoint], &["--response-timeout", "500ms"]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let all = String::from_utf8(client.rest_for(Duration::from_secs(3))).unwrap();
    assert!(all.contains("HTTP/1.1 504 Gateway Timeout"), "{all}");
}

#[test]
fn an_old_server_is_believed_when_that_is_asked_for() {
    for (answer, word) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "equal-lengths",
        ),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare-line-feeds"),
    ] {
        let endpoint = raw_endpoint(move |mut stream| {
            while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let (_strict, address) = proxy("http", &[&endpoint], &[]);
        assert_eq!(Client::connect(&address).get("/").status, 502, "{word}");
        let (_lenient, address) = proxy("http", &[&endpoint], &["--lenient", word]);
        let response = Client::connect(&address).get("/");
        assert_eq!((response.status, response.text().as_str()), (200, "ok"), "{word}");
    }
}
