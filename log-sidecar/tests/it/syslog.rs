//! Syslog: what a server reads, and what becomes of a batch that it has not read.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use testbed::tls::{Authority, Front};
use testbed::wait;

use crate::Pod;
use crate::secure::{flag, write};

/// What a server does with a connection.
#[derive(Debug, Clone, Copy)]
enum Does {
    Read,
    /// Nothing of it, and hangs up.
    HangUp,
    /// The same, after it has said that it will say nothing.
    Close,
    /// All of it, and never closes.
    Wait,
}

/// Keeps how often each message came, by its text.
struct Server {
    address: SocketAddr,
    messages: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Server {
    fn start(mut judge: impl FnMut() -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let messages = Arc::new(Mutex::new(BTreeMap::new()));
        let kept = Arc::clone(&messages);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), judge(), &kept);
            }
        });
        Self { address, messages }
    }

    fn count(&self) -> usize {
        self.messages.lock().unwrap().len()
    }
}

fn serve(mut stream: TcpStream, does: Does, kept: &Mutex<BTreeMap<String, usize>>) {
    if matches!(does, Does::HangUp) {
        // What is there is not read, so this is a reset.
        thread::sleep(Duration::from_millis(100));
        return;
    }
    if matches!(does, Does::Close) {
        stream.shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(20));
        return;
    }
    let mut bytes = Vec::new();
    // A connection that breaks is read as far as it goes.
    drop(stream.read_to_end(&mut bytes));
    let mut rest = bytes.as_slice();
    while let Ok(message) = take(&mut rest) {
        *kept.lock().unwrap().entry(message).or_default() += 1;
    }
    if matches!(does, Does::Wait) {
        thread::sleep(Duration::from_secs(2));
    }
}

/// The next frame: its length, a blank, and the message.
fn take(bytes: &mut &[u8]) -> io::Result<String> {
    let blank = bytes
        .iter()
        .position(|&byte| byte == b' ')
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let length: usize = std::str::from_utf8(&bytes[..blank]).unwrap().parse().unwrap();
    let message = bytes
        .get(blank + 1..blank + 1 + length)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    *bytes = &bytes[blank + 1 + length..];
    Ok(String::from_utf8(message.to_vec()).unwrap())
}

fn wait_for(server: &Server, count: usize) {
    wait::until("the messages", || (server.count() >= count).then_some(()));
}

#[test]
fn each_message_is_read_once_as_long_as_nothing_breaks() {
    let (pod, server) = (Pod::new(), Server::start(|| Does::Read));
    pod.append_lines("app.log", 0..10_000);
    let running = pod.start_to(&format!("syslog+tcp://{}", server.address), &[]);
    wait_for(&server, 10_000);
    pod.append("app.log", "2026-11-26 10:00:00 two\n");
    wait_for(&server, 10_001);
    pod.stop(running);
    let messages = server.messages.lock().unwrap();
    assert!(messages.values().all(|&times| times == 1));
    assert!(
        messages
            .keys()
            .all(|message| message.starts_with("<14>1 20") && message.contains(" pod-1 app - - [log@32473 path="))
    );
}

#[test]
fn what_was_not_read_is_sent_again() {
    let (pod, mut tries) = (Pod::new(), 0);
    let server = Server::start(move || {
        tries += 1;
        match tries {
            // The first is the greeting.
            2 | 3 => Does::HangUp,
            4..7 => Does::Close,
            7 => Does::Wait,
            _ => Does::Read,
        }
    });
    pod.append_lines("app.log", 0..2000);
    let more = ["--request-timeout", "500ms"];
    let running = pod.start_to(&format!("syslog+tcp://{}", server.address), &more);
    running.wait_for_log("has to read to the end of a connection");
    wait_for(&server, 2000);
    pod.append_lines("app.log", 2000..2001);
    wait_for(&server, 2001);
    pod.stop(running);
    assert!(
        server.messages.lock().unwrap().values().any(|&times| times > 1),
        "it was not clear whether these were read"
    );
}

#[test]
fn in_tls_the_server_has_to_be_who_it_says() {
    let (pod, server) = (Pod::new(), Server::start(|| Does::Read));
    let (ours, other) = (Authority::new(), Authority::new());
    let front = Front::start(&server.address.to_string(), ours.server("127.0.0.1")).unwrap();
    let to = format!("syslog+tls://{}", front.address());
    let (right, wrong) = (
        write(&pod, "ca.pem", &ours.pem()),
        write(&pod, "other.pem", &other.pem()),
    );
    pod.append_lines("app.log", 0..100);
    let running = pod.start_to(&to, &[&flag("ca", &wrong)]);
    running.wait_for_log("TLS:");
    running.kill();
    let running = pod.start_to(&to, &[&flag("ca", &right)]);
    wait_for(&server, 100);
    pod.stop(running);
    assert_eq!(server.count(), 100);
}

#[test]
fn what_syslog_does_not_know_is_refused() {
    let pod = Pod::new();
    for more in [["--compress", "gzip"], ["--username", "ann"], ["--header", "a=b"]] {
        let mut running = pod.start_to("syslog+tcp://127.0.0.1:514", &more);
        assert_eq!(running.exit().code(), Some(2));
        assert!(
            running.stderr().join("\n").contains("syslog knows no login"),
            "{:?}",
            running.stderr()
        );
    }
}

/// As long as nobody listens, and what has no room in one.
#[test]
fn each_message_is_a_datagram() {
    let pod = Pod::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    pod.append("app.log", "x".repeat(65_000));
    pod.append("app.log", "\n");
    pod.append("app.log", "x".repeat(66_000));
    pod.append("app.log", "\n");
    let running = pod.start_to(&format!("syslog+udp://{address}"), &[]);
    // The first is lost, as datagrams are; it tells that nobody is there.
    pod.append_lines("app.log", 0..100);
    running.wait_for_log("Connection refused");
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut buffer = vec![0; 70_000];
    let mut messages = Vec::new();
    while messages.last().is_none_or(|last: &String| !last.ends_with("] line 99")) {
        let length = socket.recv(&mut buffer).unwrap();
        messages.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    pod.stop(running);
    assert!(
        messages
            .iter()
            .all(|message| message.starts_with("<14>1 ") && message.contains(" app - - [log@32473 path="))
    );
    assert!(messages.len() >= 99);
    let letters = pod.dead_letters();
    assert_eq!(letters.len(), 1);
    assert!(
        letters[0]["reason"].as_str().unwrap().contains("room for 65507 bytes"),
        "{}",
        letters[0]["reason"]
    );
}
