use std::io::{Read as _, Write as _};
use std::sync::mpsc::sync_channel;

use testbed::client::get;
use testbed::http::{Reply, Request, Server};
use testbed::wait;

use crate::{Client, echo, http_proxy, proxy, raw_endpoint, read_until, wait_for_metric};

#[test]
fn a_request_passes_and_the_host_is_the_endpoints() {
    let endpoint = echo();
    let name = endpoint.address().to_string();
    let (_proxy, address) = http_proxy(&[&name]);
    let mut client = Client::connect(&address);
    client.send(b"PUT /a?b=c HTTP/1.1\r\nHost: app\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody");
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (
            200,
            format!("PUT /a?b=c\nHost: {name}\nX-A: b\nContent-Length: 4\n\nbody")
        )
    );
    let (_keeping, address) = proxy("http", &[&name], &["--host", "keep"]);
    assert!(Client::connect(&address).get("/").text().contains("Host: app\n"));
}

#[test]
fn connections_are_kept_on_both_sides() {
    let endpoint = echo();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    let before = endpoint.accepted();
    for _ in 0..3 {
        let mut client = Client::connect(&address);
        for number in 0..10 {
            assert!(
                client
                    .get(&format!("/{number}"))
                    .text()
                    .starts_with(&format!("GET /{number}\n"))
            );
        }
    }
    assert!(
        endpoint.accepted() - before <= 2,
        "{} connections for 30 requests",
        endpoint.accepted() - before
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let endpoint = echo();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    let mut client = Client::connect(&address);
    let mut all = Vec::new();
    for number in 0..20 {
        all.extend(format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").into_bytes());
    }
    client.send(&all);
    client.send(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    let order: Vec<usize> = (0..20)
        .map(|number| rest.find(&format!("POST /{number}\n")).unwrap())
        .collect();
    assert!(order.is_sorted() && rest.contains("GET /last\n"));
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let endpoint = raw_endpoint(|mut stream| {
        let request = read_until(&mut stream, b"0\r\nX-Sum: 1\r\n\r\n");
        let text = String::from_utf8(request).unwrap();
        assert!(
            text.contains("Transfer-Encoding: chunked\r\n") && text.contains("\r\n\r\n5\r\nhello\r\n"),
            "{text}"
        );
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n")
            .unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.ends_with("\r\n\r\n3\r\nabc\r\n0\r\nX-End: 2\r\n\r\n"), "{rest}");
}

#[test]
fn both_directions_stream_at_once() {
    // An endpoint that answers each line as it comes.
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .unwrap();
        for _ in 0..5 {
            let chunk = read_until(&mut stream, b"!\r\n");
            stream.write_all(&chunk).unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        read_until(&mut stream, b"0\r\n\r\n");
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let head = read_until(&mut client.0, b"\r\n\r\n");
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "the response begins before the request has ended"
    );
    for word in [&b"one!"[..], b"two!", b"six!", b"ten!", b"end!"] {
        client.send(b"4\r\n");
        client.send(word);
        client.send(b"\r\n");
        assert_eq!(read_until(&mut client.0, b"!\r\n"), [b"4\r\n", word, b"\r\n"].concat());
    }
}

#[test]
fn large_bodies_pass_whole_and_are_not_collected() {
    let length: usize = 64 << 20;
    let endpoint = raw_endpoint(move |mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())
            .unwrap();
        let mut copied = 0;
        let mut block = vec![0; 1 << 16];
        while copied < length {
            let count = stream.read(&mut block).unwrap();
            stream.write_all(&block[..count]).unwrap();
            copied += count;
        }
    });
    let (proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    let mut writer = client.0.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        writer
            .write_all(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes())
            .unwrap();
        for number in 0..length / 4096 {
            writer.write_all(&[u8::try_from(number % 251).unwrap(); 4096]).unwrap();
        }
    });
    read_until(&mut client.0, b"\r\n\r\n");
    let mut block = [0; 4096];
    for number in 0..length / 4096 {
        client.0.read_exact(&mut block).unwrap();
        assert!(block.iter().all(|b| usize::from(*b) == number % 251), "block {number}");
    }
    sent.join().unwrap();
    assert!(proxy.rss() < 12 << 20, "{} bytes resident", proxy.rss());
}

#[test]
fn interim_responses_pass() {
    let endpoint = raw_endpoint(|mut stream| {
        let head = read_until(&mut stream, b"\r\n\r\n");
        assert!(String::from_utf8(head).unwrap().contains("Expect: 100-continue"));
        stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
            .unwrap();
        assert_eq!(read_until(&mut stream, b"body"), b"body");
        stream
            .write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(
        read_until(&mut client.0, b"\r\n\r\n"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
    assert_eq!(read_until(&mut client.0, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"body");
    assert_eq!(client.response().status, 201);
}

#[test]
fn an_early_answer_is_passed_on_and_the_rest_of_the_request_is_not_waited_for() {
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno\n")
            .unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (413, Some("close")));
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_websocket_becomes_a_tunnel() {
    let endpoint = raw_endpoint(|mut stream| {
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        assert!(head.contains("Upgrade: websocket"), "{head}");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst").unwrap();
        assert_eq!(read_until(&mut stream, b"ping"), b"ping");
        stream.write_all(b"pong").unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let head = String::from_utf8(read_until(&mut client.0, b"\r\n\r\n")).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("Sec-WebSocket-Accept: x"),
        "{head}"
    );
    assert_eq!(read_until(&mut client.0, b"first"), b"first");
    client.send(b"ping");
    assert_eq!(read_until(&mut client.0, b"pong"), b"pong");
}

#[test]
fn other_protocols_are_changed_to_when_they_are_allowed() {
    let endpoint = raw_endpoint(|mut stream| {
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        if !head.contains("Connection: upgrade\r\nUpgrade: tcp\r\n") {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
            return;
        }
        assert_eq!(
            read_until(&mut stream, b"{}"),
            b"{}",
            "the body comes before the change"
        );
        stream
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
            .unwrap();
        assert_eq!(read_until(&mut stream, b"ping"), b"ping");
        stream.write_all(b"pong").unwrap();
    });
    let (_proxy, address) = proxy("http", &[&endpoint], &["--upgrade", "tcp"]);
    let ask = |protocol: &str| {
        format!(
            "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nContent-Length: 2\r\n\r\n{{}}"
        )
    };
    let mut client = Client::connect(&address);
    client.send(ask("tcp").as_bytes());
    let head = String::from_utf8(read_until(&mut client.0, b"\r\n\r\n")).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 UPGRADED\r\n") && head.contains("Upgrade: tcp"),
        "{head}"
    );
    client.send(b"ping");
    assert_eq!(read_until(&mut client.0, b"pong"), b"pong");
    let mut client = Client::connect(&address);
    client.send(ask("websocket").as_bytes());
    assert_eq!(
        client.response().status,
        200,
        "what is not in the list is not passed on"
    );
}

#[test]
fn a_change_of_protocol_before_the_request_is_there_is_none() {
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil")
            .unwrap();
        read_until(&mut stream, b"never");
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 9\r\n\r\nabc",
    );
    assert_eq!(client.rest(), b"");
}

#[test]
fn who_wants_trailers_says_so_to_each_hop() {
    let endpoint = echo();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\nConnection: TE\r\n\r\n");
    let seen = client.response().text();
    assert!(seen.contains("Connection: TE\nTE: trailers\n"), "{seen}");
}

#[test]
fn where_the_endpoint_is_stays_its_own_affair() {
    let own = std::sync::Arc::new(std::sync::OnceLock::new());
    let known = std::sync::Arc::clone(&own);
    let endpoint = Server::start("127.0.0.1:0", move |request: &Request| {
        let own: &String = known.get().unwrap();
        let location = format!("http://{own}/api/login?next=/api");
        Reply::Full {
            status: 302,
            headers: vec![
                ("Location".into(), location),
                ("Set-Cookie".into(), "session=1; Domain=127.0.0.1; Path=/api".into()),
            ],
            body: format!("{} {}", request.target, request.header("host").unwrap()).into(),
        }
    })
    .unwrap();
    own.set(endpoint.address().to_string()).unwrap();
    let to = format!("{}/api/", endpoint.address());
    for (host, location, cookie) in [
        ("rewrite", "http://app.example/login?next=/api", "session=1; Path=/"),
        (
            "keep",
            &*format!("http://{}/api/login?next=/api", endpoint.address()),
            "session=1; Domain=127.0.0.1; Path=/",
        ),
    ] {
        let (_proxy, address) = proxy("http", &[&to], &["--host", host]);
        let mut client = Client::connect(&address);
        client.send(b"GET /a HTTP/1.1\r\nHost: app.example\r\n\r\n");
        let response = client.response();
        assert_eq!(response.header("location"), Some(location));
        assert_eq!(response.header("set-cookie"), Some(cookie));
        let seen = if host == "keep" {
            "app.example".into()
        } else {
            endpoint.address().to_string()
        };
        assert_eq!(response.text(), format!("/api/a {seen}"));
    }
}

#[test]
fn http_1_0_gets_no_chunks_and_a_close() {
    let endpoint = raw_endpoint(|mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
            .unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.ends_with("Connection: close\r\n\r\nabcdef"), "{rest}");
}

#[test]
fn a_head_request_has_no_body_and_keeps_the_connection() {
    let endpoint = echo();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    let mut client = Client::connect(&address);
    for _ in 0..3 {
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = String::from_utf8(read_until(&mut client.0, b"\r\n\r\n")).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: "),
            "{head}"
        );
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn a_client_that_breaks_off_is_noticed_and_the_endpoint_told() {
    let (sender, receiver) = sync_channel(1);
    let endpoint = raw_endpoint(move |mut stream| {
        let head = read_until(&mut stream, b"\r\n\r\n");
        if !head.is_empty() {
            sender.send(stream.read(&mut [0]).unwrap_or(0)).unwrap();
        }
    });
    let (proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_for_metric(&proxy, "proxy_requests_under_way{service=\"default\"} 1");
    client.reset();
    assert_eq!(
        receiver.recv_timeout(wait::PATIENCE),
        Ok(0),
        "the endpoint sees the end"
    );
    wait_for_metric(&proxy, ABORTED);
}

#[test]
fn a_client_that_has_only_ended_its_direction_gets_its_answer() {
    let endpoint = echo();
    let (_proxy, address) = http_proxy(&[&endpoint.address().to_string()]);
    for (request, body) in [
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("GET /a HTTP/1.0\r\n\r\n", ""),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        (
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "abc",
        ),
    ] {
        let mut client = Client::connect(&address);
        client.send(request.as_bytes());
        client.close_write();
        let response = client.response();
        assert_eq!(response.status, 200, "{request}");
        assert!(response.text().ends_with(&format!("\n{body}")), "{request}");
        assert_eq!(client.rest(), b"");
    }
    let mut client = Client::connect(&address);
    client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.close_write();
    // Both may come at once.
    let answers = String::from_utf8(client.rest()).unwrap();
    let at = |path| answers.find(path).expect("what was asked before the end is answered");
    assert!(at("\nGET /1\n") < at("\nGET /2\n"), "{answers}");
}

#[test]
fn a_client_that_has_gone_is_noticed_by_the_first_write() {
    let (sender, receiver) = sync_channel(1);
    let endpoint = raw_endpoint(move |mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
                .unwrap();
            while stream.write_all(&[7; 1024]).is_ok() {}
            sender.send(()).unwrap();
        }
    });
    let (proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(client);
    receiver
        .recv_timeout(wait::PATIENCE)
        .expect("the endpoint sees the end");
    wait_for_metric(&proxy, ABORTED);
}

const ABORTED: &str = "proxy_broken_exchanges_total{service=\"default\",by=\"client\"} 1";

#[test]
fn heads_have_a_limit() {
    let endpoint = echo();
    let (_proxy, address) = proxy("http", &[&endpoint.address().to_string()], &["--max-head", "1KiB"]);
    let request = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    for (length, status) in [(1023, 200), (1024, 200), (1025, 431)] {
        let mut client = Client::connect(&address);
        client.send(request(length).as_bytes());
        assert_eq!(client.response().status, status, "{length}");
    }
}

#[test]
fn requests_beyond_the_limit_wait_for_their_turn() {
    let (sender, receiver) = sync_channel::<()>(16);
    let receiver = std::sync::Mutex::new(receiver);
    let endpoint = raw_endpoint(move |mut stream| {
        while !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            receiver.lock().unwrap().recv().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }
    });
    let (proxy, address) = proxy("http", &[&endpoint], &["--max-requests", "2"]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let admin = proxy.address("admin listening");
    let under_way = |count: usize| {
        get(&admin, "/metrics")
            .unwrap()
            .text()
            .contains(&format!("proxy_requests_under_way{{service=\"default\"}} {count}"))
    };
    wait::until("two to be under way and four connected", || under_way(2).then_some(()));
    (0..4).for_each(|_| sender.send(()).unwrap());
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn a_tunnel_passes_on_what_comes_after_one_side_has_ended() {
    let length = 1_500_000;
    let endpoint = raw_endpoint(move |mut stream| {
        read_until(&mut stream, b"\r\n\r\n");
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the client has ended its side");
        stream.write_all(&vec![7; length]).unwrap();
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    read_until(&mut client.0, b"\r\n\r\n");
    client.close_write();
    assert_eq!(client.rest().len(), length);
}

#[test]
fn a_tunnel_takes_no_turn_from_requests() {
    let endpoint = raw_endpoint(|mut stream| {
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
        let upgrade = head.contains("Upgrade: websocket");
        let answer = if upgrade {
            "HTTP/1.1 101 Switching Protocols\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        };
        drop(stream.write_all(answer.as_bytes()));
        read_until(&mut stream, b"never");
    });
    let (_proxy, address) = proxy("http", &[&endpoint], &["--max-requests", "1"]);
    let mut tunnel = Client::connect(&address);
    tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert!(read_until(&mut tunnel.0, b"\r\n\r\n").starts_with(b"HTTP/1.1 101"));
    assert_eq!(Client::connect(&address).get("/").status, 200);
}

#[test]
fn a_client_that_stops_sending_is_told_and_the_endpoint_not_blamed() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (proxy, address) = proxy("http", &[&endpoint], &["--idle-timeout", "100ms"]);
    let mut client = Client::connect(&address);
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (408, Some("close")));
    assert!(!proxy.stderr().iter().any(|line| line.contains("endpoint is down")));
}

#[test]
fn a_failure_after_an_interim_response_is_told() {
    let endpoint = raw_endpoint(|mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        }
    });
    let (_proxy, address) = http_proxy(&[&endpoint]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 502);
}

#[test]
fn a_client_that_asks_nothing_is_let_go() {
    let endpoint = echo();
    let (_proxy, address) = proxy("http", &[&endpoint.address().to_string()], &["--client-idle", "100ms"]);
    assert_eq!(Client::connect(&address).rest(), b"");
    let mut client = Client::connect(&address);
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.rest(), b"");
}
