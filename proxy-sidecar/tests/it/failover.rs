use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testbed::client::get;
use testbed::peer::Backend;
use testbed::process::Running;
use testbed::wait;

use crate::{BlackHole, Client, http_proxy, nobody, proxy, raw_endpoint, read_until};

#[test]
fn one_of_three_dies_in_mid_traffic_and_no_client_sees_it() {
    let mut backends: Vec<Backend> = (0..3)
        .map(|n| Backend::start("127.0.0.1:0", &format!("b{n}")).unwrap())
        .collect();
    let names: Vec<String> = backends.iter().map(Backend::address).collect();
    let (_proxy, address) = http_proxy(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (address, stop, answered) = (address.clone(), Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                let mut client = Client::connect(&address);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let reach = |count: usize| wait::until("traffic", || (answered.load(Ordering::Relaxed) >= count).then_some(()));
    reach(1000);
    assert!(
        backends.iter().all(|backend| backend.requests() > 100),
        "all share the load"
    );
    drop(backends.remove(1));
    reach(answered.load(Ordering::Relaxed) + 2000);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no client saw an error");
    }
}

#[test]
fn all_down_is_told_with_the_reason_and_ends_by_itself() {
    let (first, second) = (nobody(), nobody());
    let (proxy, address) = http_proxy(&[&first, &second]);
    let mut client = Client::connect(&address);
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(
            (response.status, response.header("proxy-status")),
            (
                503,
                Some("proxy-sidecar; error=destination_unavailable; details=\"unreachable\"")
            )
        );
        for told in [&first, &second, "Connection refused", "service default"] {
            assert!(response.text().contains(told), "{told:?} is not in {}", response.text());
        }
    }
    let admin = proxy.address("admin listening");
    assert_eq!(get(&admin, "/readyz").unwrap().status, 503);
    let _backend = Backend::start(&second, "late").unwrap();
    wait::until("recovery", || (client.get("/").status == 200).then_some(()));
    wait::until("readiness", || {
        (get(&admin, "/readyz").unwrap().status == 200).then_some(())
    });
}

#[test]
fn a_request_that_was_not_sent_goes_elsewhere_whatever_its_method() {
    let backend = Backend::start("127.0.0.1:0", "well").unwrap();
    let (_proxy, address) = http_proxy(&[&nobody(), &nobody(), &backend.address()]);
    let mut client = Client::connect(&address);
    for _ in 0..20 {
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        let response = client.response();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "hello from well\nabc")
        );
    }
}

/// An endpoint that answers one request a connection, keeps it open, and closes it when the second has arrived: a kept connection gone
/// stale. The body of a PUT ends with `.`.
fn stale(count: Arc<AtomicUsize>) -> String {
    raw_endpoint(move |mut stream| {
        let has_come = |stream: &mut TcpStream| {
            let head = read_until(stream, b"\r\n\r\n");
            if head.starts_with(b"PUT") {
                read_until(stream, b".");
            }
            count.fetch_add(usize::from(!head.is_empty()), Ordering::Relaxed);
            !head.is_empty()
        };
        if has_come(&mut stream) {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            has_come(&mut stream);
        }
    })
}

#[test]
fn a_stale_connection_is_not_seen_by_an_idempotent_request() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (_proxy, address) = http_proxy(&[&stale(Arc::clone(&seen))]);
    let mut client = Client::connect(&address);
    for _ in 0..6 {
        assert_eq!(client.get("/").status, 200);
    }
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab.");
    assert_eq!(
        client.response().status,
        200,
        "a body that is in hand is sent again with its head"
    );
}

#[test]
fn a_body_that_comes_in_pieces_is_kept_until_the_endpoint_answers() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (_proxy, address) = http_proxy(&[&stale(Arc::clone(&seen))]);
    let mut client = Client::connect(&address);
    for (framing, pieces) in [
        ("Content-Length: 6", ["abc", "de."]),
        ("Transfer-Encoding: chunked", ["3\r\nabc\r\n", "3\r\nde.\r\n0\r\n\r\n"]),
    ] {
        for _ in 0..3 {
            assert_eq!(
                client.get("/").status,
                200,
                "a connection is kept, and about to be closed"
            );
            client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").as_bytes());
            for piece in pieces {
                thread::sleep(Duration::from_millis(20));
                client.send(piece.as_bytes());
            }
            assert_eq!(client.response().status, 200, "{framing}");
        }
    }
}

#[test]
fn what_is_kept_of_a_body_has_a_limit() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (_proxy, address) = http_proxy(&[&stale(Arc::clone(&seen))]);
    for (length, status) in [(65_535, 200), (65_536, 200), (65_537, 502)] {
        let mut client = Client::connect(&address);
        assert_eq!(client.get("/").status, 200);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        thread::sleep(Duration::from_millis(20));
        let mut body = vec![b'x'; length];
        body[length - 1] = b'.';
        client.send(&body);
        assert_eq!(client.response().status, status, "{length}");
    }
}

/// What an endpoint was sent until nothing came for a while.
fn all_that_comes(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (mut all, mut block) = (Vec::new(), [0; 65_536]);
    while let Ok(count @ 1..) = stream.read(&mut block) {
        all.extend_from_slice(&block[..count]);
    }
    all
}

#[test]
fn what_is_sent_again_is_what_was_sent() {
    let tries = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&tries);
    let endpoint = raw_endpoint(move |mut stream| {
        let all = all_that_comes(&mut stream);
        if !all.is_empty() {
            noted.lock().unwrap().push(String::from_utf8(all).unwrap());
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    for body in [
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\n\r\nhello",
        "\r\n",
    ] {
        let mut client = Client::connect(&address);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{body}").as_bytes());
        assert_eq!(client.response().status, 502);
        let tries = std::mem::take(&mut *tries.lock().unwrap());
        assert_eq!(
            tries,
            [
                format!("PUT / HTTP/1.1\r\nHost: {endpoint}\r\n{body}"),
                tries[0].clone()
            ]
        );
    }
}

#[test]
fn what_of_a_body_was_not_sent_is_not_the_next_request() {
    // Takes a head and some of the body, and resets.
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        thread::sleep(Duration::from_millis(300));
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    for length in (2_400_000..3_200_000).step_by(100_000) {
        let mut client = Client::connect(&address);
        let mut writer = client.0.try_clone().unwrap();
        let sending = thread::spawn(move || {
            drop(
                writer.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes()),
            );
            drop(writer.write_all(&vec![b'x'; length]));
        });
        let all = String::from_utf8(client.rest_for(Duration::from_secs(2))).unwrap();
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{length}: {all}");
        assert!(all.starts_with("HTTP/1.1 502"), "{length}: {all}");
        drop(client);
        sending.join().unwrap();
    }
}

/// Answers, or is silent, as it is told.
fn moody(silent: Arc<AtomicBool>, seen: Arc<AtomicUsize>) -> String {
    raw_endpoint(move |mut stream| {
        while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            seen.fetch_add(1, Ordering::Relaxed);
            if silent.load(Ordering::Relaxed) {
                drop(read_until(&mut stream, b"never"));
                return;
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        }
    })
}

#[test]
fn an_endpoint_that_was_silent_is_tried_without_harm_and_comes_back_whatever_the_method() {
    for method in ["GET", "POST"] {
        let (silent, seen) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let endpoint = moody(Arc::clone(&silent), Arc::clone(&seen));
        let backend = Backend::start("127.0.0.1:0", "well").unwrap();
        let times = ["--response-timeout", "300ms"];
        let (proxy, address) = proxy("http", &[&endpoint, &backend.address()], &times);
        let mut client = Client::connect(&address);
        let mut ask = || {
            client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").as_bytes());
            client.response().status
        };
        wait::until("it to be down", || (ask() == 504).then_some(()));
        proxy.wait_for_log("endpoint is down");
        if method == "GET" {
            // It is tried again, and is silent still: the request goes elsewhere.
            let before = seen.load(Ordering::Relaxed);
            wait::until("a try", || {
                assert_eq!(ask(), 200);
                (seen.load(Ordering::Relaxed) > before).then_some(())
            });
        }
        silent.store(false, Ordering::Relaxed);
        wait::until("it to be back", || {
            assert_eq!(ask(), 200);
            thread::sleep(Duration::from_millis(10));
            proxy
                .stderr()
                .iter()
                .any(|line| line.contains("endpoint is back"))
                .then_some(())
        });
    }
}

#[test]
fn of_a_long_body_little_may_have_been_sent() {
    // A kept connection is closed on the head of its second request.
    let endpoint = raw_endpoint(|mut stream| {
        let head = read_until(&mut stream, b"\r\n\r\n");
        if head.starts_with(b"PUT") {
            read_until(&mut stream, b".");
        }
        if !head.is_empty() {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
            read_until(&mut stream, b"\r\n\r\n");
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").status, 200);
    client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
    thread::sleep(Duration::from_millis(100));
    client.send(&[&[b'x'; 199_999][..], b"."].concat());
    assert_eq!(client.response().status, 200);
}

#[test]
fn one_that_is_back_has_all_its_time() {
    let (place, other) = (nobody(), nobody());
    let (_proxy, address) = http_proxy(&[&place, &other]);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").status, 503);
    let listener = std::net::TcpListener::bind(&place).unwrap();
    let server = thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                thread::sleep(Duration::from_secs(3));
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
                return;
            }
        }
    });
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status, 200, "however slow it is");
    server.join().unwrap();
}

#[test]
fn a_black_hole_holds_nobody_longer_than_a_connection_may_take() {
    let hole = BlackHole::new();
    let (_proxy, address) = proxy("http", &[&hole.address], &["--connect-timeout", "1s"]);
    let start = Instant::now();
    let response = Client::connect(&address).get("/");
    assert_eq!(response.status, 503);
    let took = start.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_millis(2500)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn a_single_endpoint_that_breaks_off_is_asked_once_more_and_that_is_the_reason() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let endpoint = raw_endpoint(move |mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    let response = client.get("/");
    assert_eq!(
        (response.status, response.header("proxy-status")),
        (
            502,
            Some("proxy-sidecar; error=connection_terminated; details=\"broken_off\"")
        )
    );
    assert!(
        response
            .text()
            .contains("broke off before it answered: it closed the connection")
    );
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[test]
fn a_frozen_endpoint_is_left_after_one_timeout() {
    let frozen = raw_endpoint(|mut stream| {
        // Well for its first request on each connection, and then not at all.
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
            read_until(&mut stream, b"never");
        }
    });
    let backend = Backend::start("127.0.0.1:0", "well").unwrap();
    let (proxy, address) = proxy(
        "http",
        &[&frozen, &backend.address()],
        &["--response-timeout", "300ms", "--balance", "least"],
    );
    // Connections to both are kept.
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let slow = (0..30)
        .filter(|number| clients[number % 8].get("/").status != 200)
        .count();
    assert_eq!(slow, 1, "not one for each connection that was kept");
    proxy.wait_for_log("endpoint is down");
}

/// Two endpoints with kept connections to both, of which one then vanishes.
fn one_vanishes() -> (Running, String, [Backend; 2]) {
    let backends = ["gone", "well"].map(|name| Backend::start("127.0.0.1:0", name).unwrap());
    let addresses = [backends[0].address(), backends[1].address()];
    let endpoints = addresses.each_ref().map(String::as_str);
    let by_load = ["--balance", "least", "--connect-timeout", "1s"];
    let (proxy, address) = proxy("http", &endpoints, &by_load);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    assert!(backends.iter().all(|backend| backend.requests() > 0), "both are in use");
    backends[0].server().vanish().unwrap();
    (proxy, address, backends)
}

#[test]
fn one_that_vanishes_is_left_long_before_a_response_is_late() {
    let (proxy, address, _backends) = one_vanishes();
    let mut client = Client::connect(&address);
    let (began, mut waits) = (Instant::now(), 0);
    for _ in 0..30 {
        let asked = Instant::now();
        let response = client.get("/");
        assert_eq!((response.status, response.text().trim()), (200, "hello from well"));
        waits += usize::from(asked.elapsed() > Duration::from_millis(500));
    }
    assert_eq!(waits, 1, "not one for each connection that was kept");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let line = proxy.wait_for_log("endpoint is down");
    assert!(line.contains("nothing acknowledged the request within 1s"), "{line}");
}

#[test]
fn what_may_have_arrived_at_one_that_vanishes_is_not_sent_again() {
    let (_proxy, address, backends) = one_vanishes();
    let mut client = Client::connect(&address);
    let response = std::iter::repeat_with(|| client.post("/", b"order"))
        .take(30)
        .find(|response| response.status != 200)
        .expect("one goes to the endpoint that is gone");
    assert_eq!(response.status, 502);
    assert!(
        response.text().contains("nothing acknowledged the request within 1s"),
        "{}",
        response.text()
    );
    drop(backends);
}

/// An endpoint that begins to read the first request of a connection after `first`, and each further one after 3 s. It answers with the size
/// of the body, and takes its time for the last byte.
fn busy_for(first: impl Fn() -> Duration + Send + Sync + 'static) -> String {
    raw_endpoint(move |mut stream| {
        let mut busy = first();
        loop {
            thread::sleep(busy);
            busy = Duration::from_secs(3);
            let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            let Ok(read) = std::io::copy(&mut (&stream).take(length), &mut std::io::sink()) else {
                return;
            };
            let body = format!("{read}\n");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                body.len(),
                body.trim()
            );
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
            if stream.write_all(b"\n").is_err() {
                return;
            }
        }
    })
}

#[test]
fn one_that_is_busy_has_not_vanished() {
    let busy = busy_for(|| Duration::from_secs(3));
    let (_proxy, address) = proxy("http", &[&busy], &["--connect-timeout", "1s"]);
    // Its kernel takes the small ones at once, the middle one waits in ours, and of the last one much is still with the client.
    let sizes = [0, 3 << 10, 4 << 10, 1 << 20, 64 << 20];
    let asks = sizes.map(|size| {
        let address = address.clone();
        thread::spawn(move || {
            let mut client = Client::connect(&address);
            // On a connection where an answer was late before.
            [0, size].map(|size| (size, client.post("/", &vec![b'x'; size])))
        })
    });
    for (size, response) in asks.into_iter().flat_map(|asked| asked.join().unwrap()) {
        assert_eq!((response.status, response.text()), (200, format!("{size}\n")));
    }
}

#[test]
fn what_was_not_read_of_one_request_says_nothing_of_the_way_of_the_next() {
    const SIZE: u64 = 1 << 20;
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    // Answers soon, and reads only later.
    let hasty = raw_endpoint(move |mut stream| {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        read_until(&mut stream, b"\r\n\r\n");
        thread::sleep(Duration::from_millis(300));
        stream.write_all(answer).unwrap();
        thread::sleep(Duration::from_secs(4));
        std::io::copy(&mut (&stream).take(SIZE), &mut std::io::sink()).unwrap();
        read_until(&mut stream, b"\r\n\r\n");
        stream.write_all(answer).unwrap();
    });
    let (_proxy, address) = proxy("http", &[&hasty], &["--connect-timeout", "1s", "--retries", "0"]);
    let mut client = Client::connect(&address);
    assert_eq!(client.post("/", &vec![b'x'; SIZE as usize]).status, 200);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").status, 200);
    // Another one only asked whether it is there.
    assert!(connections.load(Ordering::Relaxed) <= 2, "the connection was kept");
}

#[test]
fn whether_a_request_has_arrived_is_no_matter_any_more_once_it_is_answered() {
    // About as long as it takes until that is asked.
    let count = AtomicUsize::new(0);
    let micros = move || 999_500 + 50 * (count.fetch_add(1, Ordering::Relaxed) as u64 % 64);
    let busy = busy_for(move || Duration::from_micros(micros()));
    let (_proxy, address) = proxy("http", &[&busy], &["--connect-timeout", "1s"]);
    let asks: Vec<_> = (0..64)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                let mut client = Client::connect(&address);
                [0, 1 << 20].map(|size| client.post("/", &vec![b'x'; size]).status)
            })
        })
        .collect();
    for asked in asks {
        assert_eq!(asked.join().unwrap(), [200, 200]);
    }
}

#[test]
fn a_dead_endpoint_costs_one_wait_and_is_then_remembered() {
    let (hole, backend) = (BlackHole::new(), Backend::start("127.0.0.1:0", "well").unwrap());
    let (_proxy, address) = proxy(
        "http",
        &[&hole.address, &backend.address()],
        &["--connect-timeout", "2s"],
    );
    let mut waited = 0;
    for _ in 0..40 {
        // Each one needs a connection of its own.
        let start = Instant::now();
        let mut client = Client::connect(&address);
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
        waited += usize::from(start.elapsed() > Duration::from_millis(200));
    }
    assert!(waited <= 2, "{waited} of 40 waited for it");
}

#[test]
fn a_connection_that_is_not_answered_is_tried_again_beside() {
    // A machine that is busy may let the tries pass before the queue is emptied.
    let took: Vec<_> = (0..3).map(|_| until_answered_after_a_lost_packet()).collect();
    assert!(took.iter().any(|took| *took < Duration::from_millis(700)), "{took:?}");
}

fn until_answered_after_a_lost_packet() -> Duration {
    let hole = BlackHole::new();
    let (_proxy, address) = proxy("http", &[&hole.address], &["--connect-timeout", "5s"]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    thread::sleep(Duration::from_millis(100));
    // The queue is emptied: the first packet is lost, and the kernel would send another one after a second.
    let listener = hole.empty();
    let start = Instant::now();
    let server = thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
                return;
            }
        }
    });
    assert_eq!(client.response().status, 200);
    server.join().unwrap();
    start.elapsed()
}

#[test]
fn what_may_have_been_done_is_not_done_twice() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (_proxy, address) = http_proxy(&[&stale(Arc::clone(&seen))]);
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").status, 200);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let response = client.response();
    assert_eq!(
        (response.status, response.header("proxy-status")),
        (
            502,
            Some("proxy-sidecar; error=connection_terminated; details=\"broken_off\"")
        )
    );
    assert_eq!(seen.load(Ordering::Relaxed), 2, "the POST was sent once");
}

#[test]
fn a_connection_closed_while_idle_is_not_used() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let endpoint = raw_endpoint(move |mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            counted.fetch_add(1, Ordering::Relaxed);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .unwrap();
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    for number in 1..=5 {
        // The endpoint has closed after its answer; to see that needs no retry, so a POST gets through.
        wait::until("a POST to get through", || {
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
            (client.response().status == 200).then_some(())
        });
        assert!(seen.load(Ordering::Relaxed) >= number);
    }
}

#[test]
fn retries_end_with_the_budget() {
    let seen = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&seen);
    let endpoints: Vec<String> = (0..4)
        .map(|_| {
            let counted = Arc::clone(&counted);
            raw_endpoint(move |mut stream| {
                if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let (_proxy, address) = proxy(
        "http",
        &endpoints.iter().map(String::as_str).collect::<Vec<_>>(),
        &["--retries", "3"],
    );
    let mut client = Client::connect(&address);
    for _ in 0..100 {
        assert_eq!(client.get("/").status, 502);
    }
    let tries = seen.load(Ordering::Relaxed);
    assert!((100..=131).contains(&tries), "{tries} tries for 100 requests");
}

#[test]
fn a_response_cut_short_is_not_taken_for_complete() {
    for head in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let endpoint = raw_endpoint(move |mut stream| {
            if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
                stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nabcd\r\n").as_bytes())
                    .unwrap();
            }
        });
        let (_proxy, address) = http_proxy(&[&endpoint]);
        let mut client = Client::connect(&address);
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let rest = client.rest();
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{head}");
    }
}

#[test]
fn an_endpoint_that_does_not_answer_is_told_apart() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (_proxy, address) = proxy("http", &[&endpoint], &["--response-timeout", "100ms"]);
    let mut client = Client::connect(&address);
    let response = client.get("/");
    assert_eq!(
        (response.status, response.header("proxy-status")),
        (
            504,
            Some("proxy-sidecar; error=http_response_timeout; details=\"response_timeout\"")
        )
    );
    assert!(response.text().contains("100ms"));
}

#[test]
fn a_body_that_stops_moving_ends_the_exchange() {
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .unwrap();
        read_until(&mut stream, b"never");
    });
    let (proxy, address) = proxy("http", &[&endpoint], &["--idle-timeout", "100ms"]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.rest();
    proxy.wait_for_log("nothing moved for 100ms");
}

#[test]
fn an_endpoint_that_does_not_read_is_not_the_clients_fault() {
    let endpoint = raw_endpoint(|stream| {
        thread::sleep(wait::PATIENCE);
        drop(stream);
    });
    let (_proxy, address) = proxy(
        "http",
        &[&endpoint],
        &["--idle-timeout", "300ms", "--response-timeout", "300ms"],
    );
    let mut client = Client::connect(&address);
    let mut writer = client.0.try_clone().unwrap();
    thread::spawn(move || {
        drop(writer.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 64000000\r\n\r\n"));
        drop(writer.write_all(&vec![7; 64_000_000]));
    });
    assert_eq!(client.response().status, 504);
}
