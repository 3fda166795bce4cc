use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use testbed::client::{exchange, get, get_with};
use testbed::contract::{assert_admin_side, assert_no_delay, assert_takes_a_burst};
use testbed::http::Reply;
use testbed::process::run;
use testbed::wait;

use crate::{BIN, adapter, adapter_for, nobody};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[test]
fn both_directions_at_once() {
    let (_application, _adapter, address) = adapter(
        |request| match request.target.as_str() {
            "/metrics" => Reply::new(200, TEXT, "# TYPE a gauge\na 1\n"),
            _ => Reply::new(
                200,
                "application/json",
                r#"{"status":"UP","components":{"db":{"status":"UP"}}}"#,
            ),
        },
        &[],
    );
    let health = get(&address, "/health").unwrap();
    assert_eq!(
        (health.status, health.header("content-type"), health.text().as_str()),
        (200, Some(TEXT), "# TYPE a gauge\na 1\n")
    );
    let metrics = get(&address, "/metrics").unwrap();
    assert_eq!((metrics.status, metrics.header("content-type")), (200, Some(TEXT)));
    for line in [
        "app_health_up 1\n",
        "app_health_component_up{component=\"db\"} 1\n",
        "adapter_target_up 1\n",
        "adapter_scrape_duration_seconds ",
    ] {
        assert!(metrics.text().contains(line), "{line:?} is not in {}", metrics.text());
    }
}

#[test]
fn the_health_route_returns_status_body_and_type_whatever_they_are() {
    let (_application, _adapter, address) = adapter(
        |request| {
            let accept = request.header("accept").unwrap_or("none").to_owned();
            Reply::Full {
                status: 418,
                headers: vec![("Content-Type".into(), "x/y".into()), ("X-Internal".into(), "1".into())],
                body: accept.into_bytes(),
            }
        },
        &[],
    );
    let response = get_with(&address, "/health?a=b", &[("Accept", "x/y")]).unwrap();
    assert_eq!(
        (
            response.status,
            response.header("content-type"),
            response.text().as_str()
        ),
        (418, Some("x/y"), "x/y")
    );
    assert_eq!(response.header("x-internal"), None);
}

#[test]
fn a_missing_type_is_mended() {
    let (_application, _adapter, address) = adapter(
        |_| Reply::Full {
            status: 200,
            headers: vec![],
            body: b"a 1\n".to_vec(),
        },
        &[],
    );
    assert_eq!(get(&address, "/health").unwrap().header("content-type"), Some(TEXT));
}

#[test]
fn down_is_metrics_too_also_with_a_503() {
    let document = r#"{"status":"DOWN","components":{"db":{"status":"DOWN"},"disk":{"status":"UP"}}}"#;
    let (_application, _adapter, address) = adapter(move |_| Reply::new(503, "application/json", document), &[]);
    let response = get(&address, "/metrics").unwrap();
    assert_eq!(response.status, 200);
    let text = response.text();
    for line in [
        "app_health_up 0\n",
        "app_health_component_up{component=\"db\"} 0\n",
        "app_health_component_up{component=\"disk\"} 1\n",
        "app_health_status{component=\"db\",app_health_status=\"down\"} 1\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[test]
fn the_scraper_chooses_the_format() {
    let (_application, _adapter, address) = adapter(|_| Reply::new(200, "application/json", r#"{"status":"UP"}"#), &[]);
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let response = get_with(&address, "/metrics", &[("Accept", accept)]).unwrap();
    assert_eq!(response.header("content-type"), Some(OPEN_METRICS));
    assert!(response.text().ends_with("# EOF\n") && response.text().contains("# TYPE app_health_status stateset\n"));
    let response = get_with(&address, "/metrics", &[("Accept", "text/html")]).unwrap();
    assert_eq!(response.header("content-type"), Some(TEXT));
}

#[test]
fn many_scrapes_at_once_are_one_request() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let (sender, receiver) = std::sync::mpsc::sync_channel::<()>(64);
    let receiver = std::sync::Mutex::new(receiver);
    let (_application, adapter, address) = adapter(
        move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            receiver.lock().unwrap().recv().unwrap();
            Reply::new(200, "application/json", r#"{"status":"UP"}"#)
        },
        &["--timeout", "20s"],
    );
    let scrapes: Vec<_> = (0..16)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || get(&address, "/metrics").unwrap().status)
        })
        .collect();
    let admin = adapter.address("admin listening");
    wait::until("all to have asked", || {
        let metrics = get(&admin, "/metrics").unwrap().text();
        (metrics.contains("adapter_under_way 16\n") && asked.load(Ordering::Relaxed) == 1).then_some(())
    });
    (0..16).for_each(|_| sender.send(()).unwrap());
    for scrape in scrapes {
        assert_eq!(scrape.join().unwrap(), 200);
    }
    assert!(
        asked.load(Ordering::Relaxed) <= 2,
        "{} requests for 16 scrapes",
        asked.load(Ordering::Relaxed)
    );
    assert_eq!(get(&address, "/metrics").unwrap().status, 200);
    assert!(asked.load(Ordering::Relaxed) >= 2, "nothing is cached");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (_application, _adapter, address) = adapter(|_| Reply::text(200, "x"), &[]);
    assert_eq!(get(&address, "/").unwrap().status, 404);
    let post = format!("POST /health HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(&address, post.as_bytes()).unwrap().status, 405);
    let trace = format!("BREW /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(&address, trace.as_bytes()).unwrap().status, 405);
}

#[test]
fn probes_stops_and_counts() {
    let (_application, mut adapter, address) =
        adapter(|_| Reply::new(200, "application/json", r#"{"status":"UP"}"#), &[]);
    let admin = adapter.address("admin listening");
    wait::until("readiness", || {
        run(BIN, &["probe", &format!("http://{admin}/readyz")])
            .status
            .success()
            .then_some(())
    });
    get(&address, "/metrics").unwrap();
    let own = get(&admin, "/metrics").unwrap().text();
    assert!(
        own.contains("adapter_answers_total{route=\"metrics\",outcome=\"ok\"} 1\n"),
        "{own}"
    );
    adapter.terminate();
    assert_eq!(adapter.exit().code(), Some(0));
}

#[test]
fn the_admin_side_is_as_in_every_sidecar() {
    let target = format!("http://{}/", nobody());
    let (running, address) = adapter_for(&nobody(), &[]);
    assert_admin_side(&running, BIN, &["--listen", "127.0.0.1:0", "--health-from", &target]);
    assert_no_delay(&running, &address);
    assert_takes_a_burst(&running, &address);
}
