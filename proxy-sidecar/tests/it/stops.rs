use std::io::Write as _;
use std::net::TcpStream;
use std::sync::mpsc::sync_channel;

use testbed::contract::killed_while_stopping;
use testbed::peer::Backend;
use testbed::wait;

use crate::{Client, http_proxy, proxy, raw_endpoint, read_until};

#[test]
fn idle_it_stops_at_once() {
    let backend = Backend::start("127.0.0.1:0", "b").unwrap();
    let (mut proxy, _) = http_proxy(&[&backend.address()]);
    proxy.wait_for_log("the cluster is there");
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

#[test]
fn all_services_are_there_until_the_application_is_quiet_on_all() {
    let (sender, receiver) = sync_channel::<()>(1);
    let receiver = std::sync::Mutex::new(receiver);
    let slow = raw_endpoint(move |mut stream| {
        if !read_until(&mut stream, b"\r\n\r\n").is_empty() {
            receiver.lock().unwrap().recv().unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
        }
    });
    let backend = Backend::start("127.0.0.1:0", "b").unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let services = format!(
        "services:\n  a: {{listen: \"127.0.0.1:0\", to: \"http://{}\"}}\n  b: {{listen: \"127.0.0.1:0\", to: \"http://{slow}\"}}\ndrain-quiet: 50ms\nadmin: off\n",
        backend.address()
    );
    std::fs::write(file.path(), services).unwrap();
    let mut proxy = testbed::process::Running::start(crate::BIN, &["--config", file.path().to_str().unwrap()]);
    let addresses: Vec<String> = wait::until("both to listen", || {
        let lines: Vec<String> = proxy
            .stderr()
            .into_iter()
            .filter(|line| line.contains("\"listening\""))
            .collect();
        let address = |line: &String| {
            line.split("\"address\":\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap()
                .to_owned()
        };
        (lines.len() == 2).then(|| lines.iter().map(address).collect())
    });
    let mut busy = Client::connect(&addresses[1]);
    busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first = Client::connect(&addresses[0]);
    assert_eq!(first.get("/").status, 200);
    proxy.terminate();
    proxy.wait_for_log("stopping");
    assert_eq!(first.rest(), b"", "an idle client is let go");
    for _ in 0..20 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        assert_eq!(Client::connect(&addresses[0]).get("/").status, 200);
    }
    sender.send(()).unwrap();
    assert_eq!(busy.response().status, 200);
    assert_eq!(proxy.exit().code(), Some(0));
}

#[test]
fn killed_while_it_stops_what_is_under_way_is_in_the_termination_message() {
    let dir = tempfile::tempdir().unwrap();
    let message = dir.path().join("message");
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (proxy, address) = proxy("http", &[&endpoint], &["--termination-log", message.to_str().unwrap()]);
    let mut clients = [Client::connect(&address), Client::connect(&address)];
    for client in &mut clients {
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    killed_while_stopping(proxy, &message, "2 connections and 2 requests under way");
}
