use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;

use testbed::peer::Backend;
use testbed::wait;

use crate::{Client, http_proxy, proxy, raw_endpoint, read_until};

#[test]
fn idle_it_stops_at_once() {
    let backend = Backend::start("127.0.0.1:0", "b").unwrap();
    let (mut proxy, _) = http_proxy(&[&backend.address()]);
    proxy.wait_for_log("\"ready\"");
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn a_request_under_way_is_finished_and_a_new_one_still_served() {
    let (sender, receiver) = sync_channel::<()>(1);
    let receiver = std::sync::Mutex::new(receiver);
    let endpoint = raw_endpoint(move |mut stream| {
        let head = read_until(&mut stream, b"\r\n\r\n");
        if head.starts_with(b"GET /slow") {
            receiver.lock().unwrap().recv().unwrap();
        }
        if !head.is_empty() {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                .unwrap();
        }
    });
    let (mut proxy, address) = http_proxy(&[&endpoint]);
    let mut slow = Client::connect(&address);
    slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut other = Client::connect(&address);
    assert_eq!(other.get("/").status, 200);
    proxy.terminate();
    proxy.wait_for_log("stopping");
    let mut late = Client::connect(&address);
    let response = late.get("/");
    assert_eq!(
        (response.status, response.header("connection")),
        (200, Some("close")),
        "the application may still call"
    );
    sender.send(()).unwrap();
    let response = slow.response();
    assert_eq!(
        (response.text().as_str(), response.header("connection")),
        ("done", Some("close"))
    );
    assert_eq!(proxy.exit().code(), Some(0));
    assert_eq!(other.rest(), b"");
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn past_the_deadline_it_says_what_is_left() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (mut proxy, address) = proxy("http", &[&endpoint], &["--grace", "200ms"]);
    let mut client = Client::connect(&address);
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait::until("the request to be under way", || {
        let metrics = testbed::client::get(&proxy.address("admin listening"), "/metrics")
            .unwrap()
            .text();
        metrics
            .contains("proxy_requests_under_way{service=\"default\"} 1")
            .then_some(())
    });
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(1));
    let told = proxy.stderr().join("\n");
    assert!(
        told.contains("not drained within 200ms: 1 connections and 1 requests under way"),
        "{told}"
    );
}

#[test]
fn file_descriptors_running_out_stops_nothing_for_good() {
    let backend = Backend::start("127.0.0.1:0", "b").unwrap();
    let script = "ulimit -n 24; exec \"$0\" \"$@\"";
    let to = format!("http://{}", backend.address());
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        script,
        crate::BIN,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--to",
        &to,
        "--drain-quiet",
        "50ms",
    ]);
    let mut proxy = testbed::process::Running::spawn(&mut command);
    let address = proxy.address("\"listening\"");
    let crowd: Vec<Client> = (0..40).map(|_| Client::connect(&address)).collect();
    proxy.wait_for_log("cannot accept a connection");
    drop(crowd);
    wait::until("service to go on", || {
        (Client::connect(&address).get("/").status == 200).then_some(())
    });
    proxy.terminate();
    assert_eq!(proxy.exit().code(), Some(0));
}
