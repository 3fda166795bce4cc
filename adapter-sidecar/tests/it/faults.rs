use std::net::TcpListener;
use std::time::{Duration, Instant};

use testbed::client::{get, get_with};
use testbed::contract::killed_while_stopping;
use testbed::http::Reply;
use testbed::wait;

use crate::{adapter, adapter_for, nobody};

#[test]
fn an_application_that_is_down_is_told_with_the_cause_and_noticed_when_back() {
    let application = nobody();
    let (adapter, address) = adapter_for(&application, &[]);
    for path in ["/health", "/metrics"] {
        let response = get(&address, path).unwrap();
        assert_eq!(response.status, 503, "{path}");
        assert!(
            response.text().contains(&format!("cannot reach http://{application}"))
                && response.text().contains("refused"),
            "{}",
            response.text()
        );
    }
    let admin = adapter.address("admin listening");
    assert_eq!(get(&admin, "/readyz").unwrap().status, 503);
    let _application = testbed::http::Server::start(&application, |_| {
        Reply::new(200, "application/json", r#"{"status":"UP"}"#)
    })
    .unwrap();
    assert_eq!(get(&address, "/metrics").unwrap().status, 200);
    wait::until("readiness", || {
        (get(&admin, "/readyz").unwrap().status == 200).then_some(())
    });
}

#[test]
fn a_slow_application_is_told_before_the_scraper_gives_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_adapter, address) = adapter_for(&silent.local_addr().unwrap().to_string(), &[]);
    for path in ["/health", "/metrics"] {
        let started = Instant::now();
        let response = get_with(&address, path, &[("X-Prometheus-Scrape-Timeout-Seconds", "0.6")]).unwrap();
        assert_eq!(response.status, 504, "{path}");
        assert!(
            response.text().contains("did not answer within 350ms"),
            "{}",
            response.text()
        );
        assert!(started.elapsed() >= Duration::from_millis(350));
    }
}

#[test]
fn a_body_that_does_not_end_is_cut_off_at_the_deadline() {
    let (_application, _adapter, address) = adapter(
        |_| Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec()),
        &[],
    );
    assert!(
        get(&address, "/health").is_err(),
        "half a body is not taken for a whole one"
    );
    let response = get(&address, "/metrics").unwrap();
    assert_eq!(response.status, 502);
    assert!(response.text().contains("broke off"), "{}", response.text());
}

#[test]
fn garbage_is_told_apart() {
    for (reply, told) in [
        (|| Reply::text(200, "<html>"), "not JSON"),
        (
            || Reply::new(404, "application/json", "{\"error\":\"x\"}"),
            "answered with status 404",
        ),
        (
            || Reply::new(200, "application/json", "{\"state\":\"UP\"}"),
            "no \"status\"",
        ),
    ] as [(fn() -> Reply, &str); 3]
    {
        let (_application, _adapter, address) = adapter(move |_| reply(), &[]);
        let response = get(&address, "/metrics").unwrap();
        assert_eq!(response.status, 502);
        assert!(response.text().contains(told), "{told:?} is not in {}", response.text());
    }
    for raw in [&b"SSH-2.0-x\r\n"[..], b""] {
        let (_application, _adapter, address) = adapter(move |_| Reply::Raw(raw.to_vec()), &[]);
        for path in ["/health", "/metrics"] {
            let response = get(&address, path).unwrap();
            assert_eq!(response.status, 502, "{path}: {}", response.text());
        }
    }
}

#[test]
fn bodies_and_documents_have_limits() {
    let (_application, _adapter, address) = adapter(
        |request| {
            let length: usize = request
                .target
                .split('=')
                .nth(1)
                .and_then(|n| n.parse().ok())
                .unwrap_or(1000);
            Reply::text(200, "x".repeat(length))
        },
        &["--max-body", "1000B", "--max-document", "1000B"],
    );
    for (length, status) in [(999, 200), (1000, 200), (1001, 502)] {
        assert_eq!(
            get(&address, &format!("/health?n={length}")).unwrap().status,
            status,
            "{length}"
        );
    }
    assert!(get(&address, "/metrics").unwrap().text().contains("not JSON"));
    let (_application, _adapter, address) =
        adapter(|_| Reply::text(200, "x".repeat(1001)), &["--max-document", "1000B"]);
    assert!(
        get(&address, "/metrics")
            .unwrap()
            .text()
            .contains("more than 1000 bytes; see --max-document")
    );
}

#[test]
fn a_chunked_body_beyond_the_limit_ends_early() {
    let chunked = || {
        let mut body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..64 {
            body.extend_from_slice(b"400\r\n");
            body.extend_from_slice(&[b'x'; 1024]);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"0\r\n\r\n");
        Reply::Raw(body)
    };
    let (_application, _adapter, address) = adapter(move |_| chunked(), &["--max-body", "64KiB"]);
    assert_eq!(get(&address, "/health").unwrap().body.len(), 65_536);
    let (_application, _adapter, address) = adapter(move |_| chunked(), &["--max-body", "65535B"]);
    assert!(get(&address, "/health").is_err());
}

#[test]
fn on_down_metric_tells_by_a_metric() {
    let (_adapter, address) = adapter_for(&nobody(), &["--on-down", "metric"]);
    let response = get(&address, "/metrics").unwrap();
    assert_eq!(response.status, 200);
    assert!(
        response.text().contains("adapter_target_up 0\n") && !response.text().contains("app_health"),
        "{}",
        response.text()
    );
}

#[test]
fn a_crowd_of_silent_clients_keeps_nobody_out_for_good() {
    let (_application, _adapter, address) = adapter(|_| Reply::new(200, "application/json", r#"{"status":"UP"}"#), &[]);
    let crowd: Vec<_> = (0..300)
        .map(|_| std::net::TcpStream::connect(&address).unwrap())
        .collect();
    assert_eq!(get(&address, "/metrics").unwrap().status, 200);
    drop(crowd);
}

#[test]
fn an_impatient_asker_does_not_fail_a_patient_one() {
    let (_application, _adapter, address) = adapter(
        |_| {
            std::thread::sleep(Duration::from_millis(600));
            Reply::new(200, "application/json", r#"{"status":"UP"}"#)
        },
        &[],
    );
    let other = address.clone();
    let impatient = std::thread::spawn(move || {
        get_with(&other, "/metrics", &[("X-Prometheus-Scrape-Timeout-Seconds", "0.2")])
            .unwrap()
            .status
    });
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(
        get_with(&address, "/metrics", &[("X-Prometheus-Scrape-Timeout-Seconds", "10")])
            .unwrap()
            .status,
        200
    );
    assert_eq!(impatient.join().unwrap(), 504);
}

#[test]
fn an_absurd_deadline_is_no_panic() {
    let (_application, _adapter, address) = adapter(|_| Reply::new(200, "application/json", r#"{"status":"UP"}"#), &[]);
    for header in ["1e19", "1e308", "-1", "NaN", "inf", "x"] {
        assert_eq!(
            get_with(&address, "/metrics", &[("X-Prometheus-Scrape-Timeout-Seconds", header)])
                .unwrap()
                .status,
            200,
            "{header}"
        );
    }
}

#[test]
fn killed_while_it_stops_what_is_unanswered_is_in_the_termination_message() {
    let dir = tempfile::tempdir().unwrap();
    let message = dir.path().join("message");
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nhalf";
    let (_application, adapter, address) = adapter(
        |_| Reply::Hang(head.to_vec()),
        &["--termination-log", message.to_str().unwrap(), "--timeout", "60s"],
    );
    // One waits for a document, and one for the rest of a body that passes through.
    let askers = ["/metrics", "/health"].map(|path| {
        let address = address.clone();
        std::thread::spawn(move || get(&address, path).map(drop))
    });
    let admin = adapter.address("admin listening");
    wait::until("the request to be under way", || {
        let metrics = get(&admin, "/metrics").unwrap().text();
        metrics.contains("adapter_under_way 2").then_some(())
    });
    killed_while_stopping(adapter, &message, "2 answers under way");
    for asker in askers {
        asker.join().unwrap().unwrap_err();
    }
}
