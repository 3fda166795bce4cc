//! Endpoints that are asked how they are.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::http::{Reply, Request, Server};
use testbed::tls::{Authority, Front};
use testbed::wait;

use crate::flags::assert_mistake;
use crate::{Client, nobody, proxy, raw_endpoint, read_until, wait_for_metric};

/// What a member answers to a check; it may be changed. 0 is silence.
type Status = Arc<AtomicU16>;

fn checked(address: &str, status: u16) -> std::io::Result<(Server, Status)> {
    let status = Arc::new(AtomicU16::new(status));
    let says = Arc::clone(&status);
    let server = Server::start(address, move |request: &Request| match says.load(Ordering::Relaxed) {
        status if request.target == "/who" => Reply::text(200, status.to_string()),
        0 => Reply::Hang(Vec::new()),
        status => Reply::text(status, "so"),
    });
    Ok((server?, status))
}

/// On whatever port is free.
fn any(status: u16) -> (Server, Status) {
    checked("127.0.0.1:0", status).unwrap()
}

/// A database as two members see it: on one port they say their names, on another whether they are the primary.
struct Pair {
    to: [String; 2],
    is_primary: [Status; 2],
    check: String,
    _servers: [Server; 2],
}

impl Pair {
    fn start(statuses: [u16; 2]) -> Self {
        let ips = ["127.0.0.1", "127.0.0.2"];
        let to = ips.map(|ip| {
            let listener = TcpListener::bind((ip, 0)).unwrap();
            let address = listener.local_addr().unwrap().to_string();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    thread::spawn(move || {
                        drop(stream.write_all(format!("{ip}\n").as_bytes()));
                        drop(stream.read_to_end(&mut Vec::new()));
                    });
                }
            });
            address
        });
        // A port that is free on both.
        let (one, two) = wait::until("a port", || {
            let one = checked("127.0.0.1:0", statuses[0]).unwrap();
            let address = format!("127.0.0.2:{}", one.0.address().port());
            checked(&address, statuses[1]).ok().map(|two| (one, two))
        });
        Self {
            to,
            check: format!("http://*:{}/primary", one.0.address().port()),
            is_primary: [one.1, two.1],
            _servers: [one.0, two.0],
        }
    }

    fn proxy(&self, more: &[&str]) -> (testbed::process::Running, String) {
        let mut all = vec![
            "--health",
            &self.check,
            "--health-policy",
            "require",
            "--health-interval",
            "50ms",
        ];
        all.extend(more);
        proxy("tcp", &[&self.to[0], &self.to[1]], &all)
    }

    fn fail_over(&self, to: usize) {
        self.is_primary[1 - to].store(503, Ordering::Relaxed);
        self.is_primary[to].store(200, Ordering::Relaxed);
    }
}

#[test]
fn the_check_decides_who_gets_the_connections_and_cuts_those_of_who_has_lost_them() {
    let pair = Pair::start([503, 200]);
    let (proxy, address) = pair.proxy(&[]);
    for (to, name) in [(1, b"127.0.0.2\n"), (0, b"127.0.0.1\n"), (1, b"127.0.0.2\n")] {
        pair.fail_over(to);
        // Until the check has seen it, some go to the old one; then all to the new one.
        let mut client = wait::until("the new primary", || {
            let mut client = Client::connect(&address);
            (read_until(&mut client.0, b"\n") == name).then_some(client)
        });
        for _ in 0..10 {
            let mut client = Client::connect(&address);
            assert_eq!(read_until(&mut client.0, b"\n"), name);
        }
        pair.fail_over(1 - to);
        assert_eq!(client.rest(), b"", "it is cut");
    }
    proxy.wait_for_log("endpoint does not pass its health check");
    let metrics = testbed::client::get(&proxy.address("admin listening"), "/metrics")
        .unwrap()
        .text();
    assert!(!metrics.contains("proxy_broken_exchanges_total{service=\"default\",by=\"health\"} 0\n"));
    assert!(!metrics.contains("proxy_health_checks_total{service=\"default\",outcome=\"failed\"} 0\n"));
}

#[test]
fn a_client_waits_for_somebody_who_passes() {
    let pair = Pair::start([503, 503]);
    let (proxy, address) = pair.proxy(&["--resolve-timeout", "25s"]);
    let mut client = Client::connect(&address);
    thread::sleep(Duration::from_millis(300));
    pair.fail_over(1);
    assert_eq!(read_until(&mut client.0, b"\n"), b"127.0.0.2\n");
    drop(proxy);

    pair.is_primary[1].store(0, Ordering::Relaxed);
    let (proxy, address) = pair.proxy(&["--resolve-timeout", "2s", "--health-timeout", "100ms"]);
    let start = Instant::now();
    assert_eq!(Client::connect(&address).rest(), b"");
    assert!(start.elapsed() >= Duration::from_millis(1900), "{:?}", start.elapsed());
    let told = proxy.wait_for_log("passes its health check: ");
    assert!(
        told.contains("it answers 503") && told.contains("no answer within 100ms"),
        "{told}"
    );
    wait_for_metric(&proxy, "proxy_failures_total{service=\"default\",reason=\"unfit\"} 1");
}

#[test]
fn a_client_of_one_that_is_down_and_not_yet_seen_to_be_waits_for_its_successor() {
    let mut pair = Pair::start([200, 503]);
    // It still passes, and takes no connections any more.
    pair.to[0] = nobody();
    let (proxy, address) = pair.proxy(&["--resolve-timeout", "25s"]);
    proxy.wait_for_log("passes its health check");
    let mut client = Client::connect(&address);
    thread::sleep(Duration::from_millis(300));
    pair.fail_over(1);
    assert_eq!(read_until(&mut client.0, b"\n"), b"127.0.0.2\n");
    drop(proxy);

    pair.fail_over(0);
    let (proxy, address) = pair.proxy(&["--resolve-timeout", "1s"]);
    proxy.wait_for_log("passes its health check");
    let start = Instant::now();
    assert_eq!(Client::connect(&address).rest(), b"", "it does not wait for ever");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"unreachable\"} 1",
    );
}

#[test]
fn one_that_does_not_pass_is_used_when_nobody_does() {
    let ((one, is_one), (two, is_two)) = (any(200), any(500));
    let (proxy, address) = proxy(
        "http",
        &[&one.address().to_string(), &two.address().to_string()],
        &["--health", "http://*/healthz", "--health-interval", "50ms"],
    );
    proxy.wait_for_log("does not pass");
    for _ in 0..20 {
        assert_eq!(
            Client::connect(&address).get("/who").text(),
            "200",
            "not the one that says 500"
        );
    }
    is_one.store(404, Ordering::Relaxed);
    proxy.wait_for_log(&format!("{}\",\"why\":\"it answers 404", one.address()));
    assert_eq!(
        Client::connect(&address).get("/who").status,
        200,
        "somebody is better than nobody"
    );
    is_two.store(399, Ordering::Relaxed);
    proxy.wait_for_log(&format!("passes its health check\",\"endpoint\":\"{}", two.address()));
}

#[test]
fn a_connection_may_be_all_that_is_asked_and_tls_may_be_spoken() {
    let (server, _status) = any(200);
    let authority = Authority::new();
    let front = Front::start(&server.address().to_string(), authority.server("es.example")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, authority.pem()).unwrap();
    let ca = format!("--ca={}", path.display());
    let https = format!("https://*:{}/healthz", front.address().port());
    let here = server.address().to_string();
    for more in [
        &["--health", "tcp://*"][..],
        &["--health", &format!("tcp://*:{}", front.address().port())],
        &["--health", &https, &ca, "--tls-name", "es.example"],
    ] {
        let (proxy, address) = proxy("http", &[&here], &[more, &["--health-policy", "require"]].concat());
        assert_eq!(Client::connect(&address).get("/who").status, 200);
        wait_for_metric(
            &proxy,
            "proxy_health_checks_total{service=\"default\",outcome=\"silent\"} 0",
        );
    }
    let more = [
        "--health",
        &*https,
        &ca,
        "--health-policy",
        "require",
        "--resolve-timeout",
        "200ms",
    ];
    let (_proxy, address) = proxy("http", &[&here], &more);
    let response = Client::connect(&address).get("/who");
    assert_eq!(response.status, 503);
    assert!(response.text().contains("is for another name"), "{}", response.text());
}

#[test]
fn one_check_without_an_answer_changes_nothing() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    // Every other check is not answered, or not in HTTP.
    let place = raw_endpoint(move |mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").ends_with(b"\r\n\r\n") {
            return;
        }
        let says: &[u8] = match count.fetch_add(1, Ordering::Relaxed) % 4 {
            1 => b"",
            3 => b"SSH-2.0\r\n",
            _ => b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        };
        drop(stream.write_all(says));
    });
    let more = [
        "--health",
        "http://*/",
        "--health-policy",
        "require",
        "--health-interval",
        "20ms",
    ];
    let (mut proxy, _address) = proxy("tcp", &[&place], &more);
    wait::until("some checks", || (asked.load(Ordering::Relaxed) > 20).then_some(()));
    proxy.terminate();
    wait::until("the end", || proxy.has_ended().then_some(()));
    let told = proxy.stderr().join("\n");
    assert!(!told.contains("does not pass"), "{told}");
}

#[test]
fn mistakes_of_checks_are_told() {
    let to = format!("http://{}", nobody());
    for (arguments, said) in [
        (["--health", "http://es/"], "its host is not *"),
        (["--health", "ftp://*/"], "the scheme \"ftp\" is not one of"),
        (["--health", "tcp://*:80/a"], "for no path"),
        (["--health", "http://*:0/"], "port 0"),
        (["--health", "tcp://*:x"], "--health"),
        (["--health", "http://*8008/primary"], "after *, there is"),
        (["--health", "http://*.example:8008/"], "after *, there is"),
        (["--health-policy", "require"], "nothing is checked"),
    ] {
        let mut all = vec!["--listen", "127.0.0.1:0", "--to", &to];
        all.extend(arguments);
        assert_mistake(&all, said);
    }
}

#[test]
fn an_upgraded_connection_is_cut_as_well() {
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        drop(stream.write_all(b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
        drop(stream.read_to_end(&mut Vec::new()));
    });
    let (server, status) = any(200);
    let check = format!("http://*:{}/", server.address().port());
    let more = [
        "--health",
        &check,
        "--health-policy",
        "require",
        "--health-interval",
        "50ms",
    ];
    let (_proxy, address) = proxy("http", &[&endpoint], &more);
    let mut client = Client::connect(&address);
    client.send(ask);
    read_until(&mut client.0, b"\r\n\r\n");
    status.store(503, Ordering::Relaxed);
    assert_eq!(client.rest(), b"");
}
