//! Endpoints that are spoken to in TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use testbed::http::{Reply, Request, Server};
use testbed::process::Running;
use testbed::tls::{Authority, Front};
use testbed::wait;

use crate::flags::assert_mistake;
use crate::{Client, assert_mirrored, echo, mirror, proxy, raw_endpoint, read_until, wait_for_metric};

/// A folder for certificates.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn flag(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        flag(name, &path)
    }

    /// The flag that has `authority` trusted.
    fn trust(&self, authority: &Authority) -> String {
        self.flag("ca", &authority.pem())
    }
}

fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// The proxy in front of `fronts`.
fn secure_proxy(scheme: &str, fronts: &[&Front], more: &[&str]) -> (Running, String) {
    let fronts: Vec<_> = fronts.iter().map(|front| front.address().to_string()).collect();
    let fronts: Vec<_> = fronts.iter().map(String::as_str).collect();
    proxy(scheme, &fronts, more)
}

/// An endpoint called 127.0.0.1 in front of `server`, and the flag that has it trusted.
fn trusted(files: &Files, server: &str) -> (Front, String) {
    let authority = Authority::new();
    let front = Front::start(server, authority.server("127.0.0.1")).unwrap();
    (front, files.trust(&authority))
}

#[test]
fn requests_pass_in_tls_on_connections_that_are_kept() {
    let (files, endpoint) = (Files::new(), echo());
    let (front, ca) = trusted(&files, &endpoint.address().to_string());
    let (proxy, address) = secure_proxy("https", &[&front], &[&ca]);
    proxy.wait_for_log("the cluster is there");
    let mut client = Client::connect(&address);
    for number in 0..20 {
        let response = client.get(&format!("/{number}"));
        assert_eq!(
            (response.status, response.text()),
            (200, format!("GET /{number}\nHost: {}\n\n", front.address()))
        );
        // So that each is looked at before it is used again.
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(endpoint.accepted(), 1, "the one that showed that the cluster is there");
    wait_for_metric(
        &proxy,
        "proxy_tls_handshakes_total{service=\"default\",kind=\"full\"} 1",
    );
    wait_for_metric(&proxy, "proxy_tls_unverified{service=\"default\"} 0");
}

#[test]
fn new_connections_resume_the_session() {
    let files = Files::new();
    let endpoint = Server::start("127.0.0.1:0", |_: &Request| {
        Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".to_vec())
    })
    .unwrap();
    let authority = Authority::new();
    let ca = files.trust(&authority);
    for config in [authority.server("127.0.0.1"), authority.old_server("127.0.0.1")] {
        let front = Front::start(&endpoint.address().to_string(), config).unwrap();
        let (proxy, address) = secure_proxy("https", &[&front], &[&ca]);
        proxy.wait_for_log("the cluster is there");
        for _ in 0..5 {
            assert_eq!(Client::connect(&address).get("/").text(), "ok");
        }
        assert_eq!(
            front.names().len(),
            5,
            "the first request used the connection that was there"
        );
        let admin = proxy.address("admin listening");
        let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
        assert!(
            metrics.contains("proxy_tls_handshakes_total{service=\"default\",kind=\"full\"} 1\n"),
            "{metrics}"
        );
    }
}

#[test]
fn large_bodies_pass_both_ways_whatever_their_framing() {
    let files = Files::new();
    let endpoint = Server::start("127.0.0.1:0", |request: &Request| {
        Reply::text(200, request.body.clone())
    })
    .unwrap();
    let authority = Authority::new();
    let ca = files.trust(&authority);
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    for config in [authority.server("127.0.0.1"), authority.old_server("127.0.0.1")] {
        let front = Front::start(&endpoint.address().to_string(), config).unwrap();
        let (_proxy, address) = secure_proxy("https", &[&front], &[&ca]);
        let mut client = Client::connect(&address);
        for _ in 0..2 {
            client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
            client.send(&body);
            assert!(client.response().body == body);
            client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            for part in body.chunks(70_000) {
                client.send(format!("{:x}\r\n", part.len()).as_bytes());
                client.send(part);
                client.send(b"\r\n");
            }
            client.send(b"0\r\n\r\n");
            assert!(client.response().body == body);
        }
    }
}

#[test]
fn who_is_not_who_it_has_to_be_gets_nothing() {
    let files = Files::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let endpoint = Server::start("127.0.0.1:0", move |_: &Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::text(200, "ok")
    })
    .unwrap();
    let server = endpoint.address().to_string();
    let (ours, other) = (Authority::new(), Authority::new());
    let ca = files.trust(&ours);
    for (config, why) in [
        (other.server("127.0.0.1"), "does not lead to a CA that is trusted"),
        (ours.server("es.example"), "is for another name"),
    ] {
        let front = Front::start(&server, config).unwrap();
        let (proxy, address) = secure_proxy("https", &[&front], &[&ca]);
        let response = Client::connect(&address).get("/");
        assert_eq!(response.status, 502);
        assert_eq!(
            response.header("proxy-status"),
            Some("proxy-sidecar; error=tls_certificate_error; details=\"certificate\"")
        );
        let text = response.text();
        assert!(text.contains(why) && text.contains("remedy: "), "{text}");
        wait_for_metric(
            &proxy,
            "proxy_failures_total{service=\"default\",reason=\"certificate\"} 1",
        );
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nothing was sent");

    let front = Front::start(&server, ours.server("es.example")).unwrap();
    let (_proxy, address) = secure_proxy("https", &[&front], &[&ca, "--tls-name", "es.example."]);
    assert_eq!(Client::connect(&address).get("/").text(), "ok");
    assert!(front.names().iter().all(|name| name.as_deref() == Some("es.example")));

    // Believed only when that is asked for, and told.
    let front = Front::start(&server, other.server("es.example")).unwrap();
    let (proxy, address) = secure_proxy("https", &[&front], &["--tls-insecure"]);
    proxy.wait_for_log("any server is believed");
    assert_eq!(Client::connect(&address).get("/").text(), "ok");
    wait_for_metric(&proxy, "proxy_tls_unverified{service=\"default\"} 1");
}

#[test]
fn an_endpoint_that_cannot_be_trusted_is_left_for_one_that_can() {
    let (files, endpoint) = (Files::new(), echo());
    let server = endpoint.address().to_string();
    let (ours, other) = (Authority::new(), Authority::new());
    let bad = Front::start(&server, other.server("127.0.0.1")).unwrap();
    let good = Front::start(&server, ours.server("127.0.0.1")).unwrap();
    let (_proxy, address) = secure_proxy("https", &[&bad, &good], &[&files.trust(&ours)]);
    for _ in 0..20 {
        let mut client = Client::connect(&address);
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody");
        assert_eq!(
            client.response().status,
            200,
            "nothing was sent to the other, so a POST goes on too"
        );
    }
}

#[test]
fn what_does_not_speak_tls_is_told_so() {
    let (files, ours) = (Files::new(), Authority::new());
    let ca = files.trust(&ours);
    let plain = raw_endpoint(|mut stream| {
        drop(stream.read(&mut [0; 512]));
        drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    let (_proxy, address) = proxy("https", &[&plain], &[&ca]);
    let response = Client::connect(&address).get("/");
    assert_eq!(
        response.header("proxy-status"),
        Some("proxy-sidecar; error=tls_protocol_error; details=\"handshake\"")
    );
    assert!(response.text().contains("does not speak TLS"), "{}", response.text());

    // One that takes the connection and says nothing is left after the time for connecting.
    let silent = raw_endpoint(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let (_proxy, address) = proxy("https", &[&silent], &[&ca, "--connect-timeout", "300ms"]);
    let response = Client::connect(&address).get("/");
    assert_eq!(response.status, 502);
    assert!(
        response.text().contains("no TLS handshake within 300ms"),
        "{}",
        response.text()
    );
}

#[test]
fn a_handshake_that_is_late_is_not_waited_for() {
    let (files, endpoint, ours) = (Files::new(), echo(), Authority::new());
    let silent = raw_endpoint(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let front = Front::start(&endpoint.address().to_string(), ours.server("127.0.0.1")).unwrap();
    let (_proxy, address) = proxy(
        "https",
        &[&silent, &front.address().to_string()],
        &[&files.trust(&ours), "--connect-timeout", "25s"],
    );
    for _ in 0..4 {
        assert_eq!(Client::connect(&address).get("/").status, 200);
    }
}

#[test]
fn a_handshake_is_late_after_a_second_whichever_it_is() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let silent: Vec<_> = (0..6)
        .map(|_| {
            let asked = Arc::clone(&asked);
            raw_endpoint(move |mut stream| {
                asked.lock().unwrap().push(Instant::now());
                drop(stream.read_to_end(&mut Vec::new()));
            })
        })
        .collect();
    let silent: Vec<_> = silent.iter().map(String::as_str).collect();
    // The start asks whether the cluster is there, as a request would.
    let (_proxy, _address) = proxy("https", &silent, &["--tls-insecure", "--connect-timeout", "20s"]);
    let times = wait::until("four tries", || {
        let asked = asked.lock().unwrap();
        (asked.len() >= 4).then(|| asked.clone())
    });
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(900), "{times:?}");
    }
}

#[test]
fn an_endpoint_in_tls_is_at_the_proxy_without_it() {
    let files = Files::new();
    let place = Arc::new(Mutex::new(String::new()));
    let says = Arc::clone(&place);
    let endpoint = Server::start("127.0.0.1:0", move |_: &Request| {
        let location = format!("https://{}/x", says.lock().unwrap());
        Reply::Full {
            status: 302,
            headers: vec![
                ("Location".into(), location),
                ("Set-Cookie".into(), "a=b; Secure".into()),
            ],
            body: Vec::new(),
        }
    })
    .unwrap();
    let (front, ca) = trusted(&files, &endpoint.address().to_string());
    *place.lock().unwrap() = front.address().to_string();
    let (_proxy, address) = secure_proxy("https", &[&front], &[&ca]);
    let response = Client::connect(&address).get("/");
    assert_eq!(response.header("location"), Some("http://app/x"));
    assert_eq!(response.header("set-cookie"), Some("a=b"));
}

#[test]
fn a_client_certificate_is_shown_and_renewed() {
    let (files, endpoint) = (Files::new(), echo());
    let server = endpoint.address().to_string();
    let (ours, first, second) = (Authority::new(), Authority::new(), Authority::new());
    let front = Front::start(&server, ours.server_for("127.0.0.1", &first)).unwrap();
    let ca = files.trust(&ours);
    let (without, address) = secure_proxy("https", &[&front], &[&ca]);
    without.wait_for_log("does it want a client certificate?");
    let response = Client::connect(&address).get("/");
    assert_eq!(response.status, 502);
    assert!(
        response.text().contains("it wants a client certificate"),
        "{}",
        response.text()
    );

    let pair = first.pair("client.example");
    let certificate = files.flag("client-certificate", &pair.certificate);
    let key = files.flag("client-key", &pair.key);
    let (proxy, address) = secure_proxy("https", &[&front], &[&ca, &certificate, &key]);
    assert_eq!(Client::connect(&address).get("/").status, 200);
    front.change(ours.server_for("127.0.0.1", &second));
    let pair = second.pair("client.example");
    files.flag("client-certificate", &pair.certificate);
    files.flag("client-key", &pair.key);
    endpoint.cut();
    assert_eq!(Client::connect(&address).get("/").status, 200);
    proxy.wait_for_log("certificates were read anew");
}

#[test]
fn bytes_pass_in_tls_and_each_direction_ends_by_itself() {
    let files = Files::new();
    let (front, ca) = trusted(&files, &mirror());
    let (_proxy, address) = secure_proxy("tls", &[&front], &[&ca]);
    for size in [1, 1_000_000] {
        assert_mirrored(&address, size);
    }
}

#[test]
fn small_words_pass_in_a_tunnel_as_they_come() {
    let files = Files::new();
    let endpoint = raw_endpoint(|mut stream| {
        loop {
            let word = read_until(&mut stream, b"\n");
            if word.is_empty() {
                return;
            }
            stream.write_all(&word).unwrap();
        }
    });
    let (front, ca) = trusted(&files, &endpoint);
    let (_proxy, address) = secure_proxy("tls", &[&front], &[&ca]);
    let mut client = Client::connect(&address);
    for number in 0..100 {
        let word = format!("word {number}\n").into_bytes();
        client.send(&word);
        assert_eq!(read_until(&mut client.0, b"\n"), word);
    }
}

#[test]
fn an_end_that_nobody_signed_is_no_end() {
    let files = Files::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let held = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&held);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = read_until(&mut stream, b"\r\n\r\n");
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf"));
            if head.starts_with(b"GET /cut") {
                keep.lock().unwrap().push(stream);
            }
        }
    });
    // What is on the way cannot sign an end.
    let (front, ca) = trusted(&files, &server);
    let wire = cut_after(Duration::from_millis(500), front.address().to_string());
    let (proxy, address) = proxy("https", &[&wire], &[&ca]);
    let mut client = Client::connect(&address);
    client.send(b"GET /whole HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.rest().ends_with(b"half\r\n0\r\n\r\n"), "an end in order is one");
    let mut client = Client::connect(&address);
    client.send(b"GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    let rest = client.rest();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    wait_for_metric(
        &proxy,
        "proxy_broken_exchanges_total{service=\"default\",by=\"endpoint\"} 1",
    );
}

/// What is on the way to `address`, and ends a connection when nothing has come back for so long.
fn cut_after(silence: Duration, address: String) -> String {
    raw_endpoint(move |mut client| {
        let mut server = std::net::TcpStream::connect(&address).unwrap();
        let (mut to_server, mut from_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || drop(std::io::copy(&mut from_client, &mut to_server)));
        server.set_read_timeout(Some(silence)).unwrap();
        drop(std::io::copy(&mut server, &mut client));
        drop(client.shutdown(std::net::Shutdown::Both));
    })
}

#[test]
fn an_end_that_is_late_is_an_end_and_not_an_endpoint_that_is_gone() {
    let files = Files::new();
    let server = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (front, ca) = trusted(&files, &server);
    let wire = cut_after(Duration::from_millis(2500), front.address().to_string());
    let (proxy, address) = proxy("https", &[&wire], &[&ca, "--retries", "0"]);
    for _ in 0..2 {
        let response = Client::connect(&address).get("/");
        assert_eq!(response.status, 502);
        assert!(response.text().contains("end of file"), "{}", response.text());
    }
    assert!(
        !proxy.stderr().iter().any(|line| line.contains("endpoint is down")),
        "not after two"
    );
}

#[test]
fn mistakes_of_tls_are_told_with_their_place() {
    let files = Files::new();
    let broken = files.flag(
        "ca",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    );
    for (arguments, said) in [
        (
            vec!["--to", "https://es.example", &broken],
            "ca:1: this is no certificate",
        ),
        (
            vec!["--to", "http://es.example", "--tls-insecure"],
            "not spoken to in TLS",
        ),
        (
            vec!["--to", "tcp://es.example:1", "--tls-name", "a"],
            "not spoken to in TLS",
        ),
        (
            vec!["--to", "https://es_1.example,http://es.example"],
            "different schemes",
        ),
        (
            vec!["--to", "https://es.example", "--tls-name", "no name"],
            "--tls-name",
        ),
        (vec!["--to", "tls://db.example:1", "--retries", "1"], "no requests"),
        (vec!["--to", "tls://db.example:1/path"], "it has a path"),
    ] {
        let mut all = vec!["--listen", "127.0.0.1:0"];
        all.extend(arguments);
        assert_mistake(&all, said);
    }
}

#[test]
fn a_server_that_speaks_first_is_there() {
    let files = Files::new();
    let says = raw_endpoint(|mut stream| {
        drop(stream.write_all(b"* OK ready\r\n"));
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let (front, ca) = trusted(&files, &says);
    let (proxy, address) = secure_proxy("tls", &[&front], &[&ca]);
    proxy.wait_for_log("the cluster is there");
    let mut client = Client::connect(&address);
    assert_eq!(read_until(&mut client.0, b"\r\n"), b"* OK ready\r\n");
}
