//! A line for each request, when that is wanted.

use std::io::Write as _;

use testbed::process::Running;
use testbed::wait;

use crate::{Client, echo, http_proxy, nobody, proxy, raw_endpoint, read_until, wait_for_metric};

/// The lines of requests so far, once there are `count`, without what differs from run to run.
fn lines(proxy: &Running, count: usize) -> Vec<String> {
    let found = || {
        let all = proxy.stderr();
        let lines: Vec<_> = all
            .iter()
            .filter(|line| line.contains("\"message\":\"request\""))
            .cloned()
            .collect();
        (lines.len() >= count).then_some(lines)
    };
    let lines = wait::until("lines of requests", found);
    let between = |line: &str| {
        let from = line.find("\"service\"").unwrap();
        let to = line.find(",\"took_ms\"").unwrap();
        line[from..to].to_owned()
    };
    lines.iter().map(|line| between(line)).collect()
}

#[test]
fn all_have_a_line_without_their_query() {
    let endpoint = echo();
    let at = endpoint.address().to_string();
    let (proxy, address) = proxy("http", &[&at], &["--access-log", "all"]);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/orders?token=secret").status, 200);
    assert_eq!(client.post("/", b"x").status, 200);
    let expected = |method: &str, path: &str| {
        format!(
            "\"service\":\"default\",\"method\":\"{method}\",\"path\":\"{path}\",\"status\":200,\"complete\":true,\"endpoint\":\"{at}\",\"tries\":1"
        )
    };
    assert_eq!(lines(&proxy, 2), [expected("GET", "/orders"), expected("POST", "/")]);
    assert!(!proxy.stderr().join("").contains("secret"));
    let duration = "proxy_response_duration_seconds_count{service=\"default\"} 2";
    wait_for_metric(&proxy, duration);
}

#[test]
fn none_has_one_unless_it_is_asked_for() {
    let endpoint = echo();
    let (proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    assert_eq!(Client::connect(&address).get("/").status, 200);
    wait_for_metric(&proxy, "proxy_requests_total{service=\"default\",class=\"2xx\"} 1");
    assert!(lines(&proxy, 0).is_empty());
}

#[test]
fn errors_have_one_however_they_end() {
    let endpoint = raw_endpoint(|mut stream| {
        loop {
            let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
            let answer: &[u8] = match head.split(' ').nth(1) {
                Some("/well") => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                Some("/sick") => b"HTTP/1.1 500 Sick\r\nContent-Length: 0\r\n\r\n",
                Some("/cut") => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                Some("/gone") => b"",
                _ => return,
            };
            stream.write_all(answer).unwrap();
            if head.starts_with("GET /cut") || head.starts_with("GET /gone") {
                return;
            }
        }
    });
    let (proxy, address) = proxy("http", &[&endpoint], &["--access-log", "errors"]);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/well").status, 404);
    assert_eq!(client.get("/sick").status, 500);
    assert_eq!(client.get("/gone").status, 502);
    client.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    client.rest();
    let ends: Vec<_> = lines(&proxy, 3)
        .iter()
        .map(|line| {
            let line = line.replace(&endpoint, "E");
            line[line.find("\"path\"").unwrap()..].to_owned()
        })
        .collect();
    assert_eq!(
        ends,
        [
            "\"path\":\"/sick\",\"status\":500,\"complete\":true,\"endpoint\":\"E\",\"tries\":1",
            "\"path\":\"/gone\",\"status\":502,\"complete\":true,\"endpoint\":\"E\",\"tries\":3,\"reason\":\"broken_off\"",
            "\"path\":\"/cut\",\"status\":200,\"complete\":false,\"endpoint\":\"E\",\"tries\":1",
        ]
    );
}

#[test]
fn nobody_was_tried_where_nobody_could_be_reached() {
    let (proxy, address) = proxy("http", &[&nobody()], &["--access-log", "errors"]);
    assert_eq!(Client::connect(&address).get("/").status, 503);
    let line = &lines(&proxy, 1)[0];
    assert!(
        line.ends_with("\"status\":503,\"complete\":true,\"tries\":0,\"reason\":\"unreachable\""),
        "{line}"
    );
}
