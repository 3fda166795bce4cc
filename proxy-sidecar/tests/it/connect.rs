//! `CONNECT`: tunnels from the application to places that are allowed.

use std::io::{Read as _, Write as _};

use crate::{Client, echo, mirror, nobody, proxy, raw_endpoint, read_until, wait_for_metric};

#[test]
fn a_tunnel_leads_to_a_place_that_is_allowed() {
    let (cluster, place) = (echo(), mirror());
    let (_proxy, address) = proxy(
        "http",
        &[&cluster.address().to_string()],
        &["--connect", &format!("{},{place}", nobody())],
    );
    for early in [&b""[..], b"at once "] {
        let mut client = Client::connect(&address);
        assert_eq!(client.get("/").status, 200, "on a connection that carried a request");
        let ask = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n");
        client.send(&[ask.as_bytes(), early].concat());
        let head = read_until(&mut client.0, b"\r\n\r\n");
        assert_eq!(head, b"HTTP/1.1 200 Connection established\r\n\r\n");
        client.send(b"GET / HTTP/1.1\r\n\r\n");
        client.close_write();
        assert_eq!(client.rest(), [early, b"GET / HTTP/1.1\r\n\r\n"].concat());
    }
}

#[test]
fn a_server_that_speaks_first_is_heard() {
    let place = raw_endpoint(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        read_until(&mut stream, b"QUIT\r\n");
    });
    let (_proxy, address) = proxy("http", &[&nobody()], &["--connect", &place]);
    let mut client = Client::connect(&address);
    client.send(format!("CONNECT {place} HTTP/1.0\r\n\r\n").as_bytes());
    read_until(&mut client.0, b"\r\n\r\n");
    let mut said = [0; 11];
    client.0.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"220 ready\r\n");
}

#[test]
fn nowhere_else_and_not_to_what_is_away() {
    let (cluster, place, away) = (echo(), mirror(), nobody());
    let (proxy, address) = proxy(
        "http",
        &[&cluster.address().to_string()],
        &["--connect", &away, "--connect", "LocalHost:1"],
    );
    for (place, status, reason) in [
        (&*place, 403, "http_request_denied; details=\"connect_denied\""),
        (
            &cluster.address().to_string(),
            403,
            "http_request_denied; details=\"connect_denied\"",
        ),
        (&away, 503, "destination_unavailable; details=\"unreachable\""),
        ("localhost:1", 503, "destination_unavailable; details=\"unreachable\""),
    ] {
        let mut client = Client::connect(&address);
        // What comes after it was meant for that place, and not for the cluster.
        let smuggled = "DELETE /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n{smuggled}").as_bytes());
        let response = client.response();
        assert_eq!(response.status, status, "{}", response.text());
        let told = response.header("proxy-status").unwrap();
        assert!(told.ends_with(reason), "{told}");
        assert_eq!(response.header("connection"), Some("close"));
        client.close_write();
        assert_eq!(client.rest(), b"", "the connection ends");
    }
    assert_eq!(
        cluster.accepted(),
        1,
        "the cluster was asked whether it is there, and nothing else"
    );
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"connect_denied\"} 2",
    );
}
