//! Fluent Forward: what a server takes, and what becomes of a batch that it has not acknowledged.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use flate2::read::GzDecoder;
use rmpv::Value;
use rmpv::decode::read_value;
use rmpv::encode::write_value;
use sha2::{Digest as _, Sha512};
use testbed::tls::{Authority, Front};
use testbed::wait;

use crate::Pod;
use crate::secure::{flag, write};

/// What a server does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Acknowledge,
    /// Keeps it, and hangs up.
    HangUp,
    /// Keeps it, and acknowledges something else.
    Lie,
}

/// How often each record came, by its text, and the last of each.
type Kept = BTreeMap<String, (usize, Value)>;

struct Server {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    connections: Arc<Mutex<usize>>,
}

impl Server {
    fn start(key: Option<&'static str>, judge: impl FnMut() -> Does + Send + 'static) -> Self {
        Self::with_room(u64::MAX, key, judge)
    }

    /// It hangs up on messages of more bytes.
    fn with_room(room: u64, key: Option<&'static str>, judge: impl FnMut() -> Does + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            kept: Arc::default(),
            connections: Arc::default(),
        };
        let (kept, connections) = (Arc::clone(&server.kept), Arc::clone(&server.connections));
        let judge = Arc::new(Mutex::new(judge));
        thread::spawn(move || {
            for stream in listener.incoming() {
                *connections.lock().unwrap() += 1;
                let (kept, judge) = (Arc::clone(&kept), Arc::clone(&judge));
                thread::spawn(move || serve(stream.unwrap(), room, key, &kept, || judge.lock().unwrap()()));
            }
        });
        server
    }

    fn count(&self) -> usize {
        self.kept.lock().unwrap().len()
    }

    fn wait_for(&self, count: usize) {
        wait::until("the records", || (self.count() >= count).then_some(()));
    }

    fn assert_lines(&self, count: usize) {
        let kept = self.kept.lock().unwrap();
        assert_eq!(kept.len(), count);
        assert!((0..count).all(|n| kept.contains_key(&format!("line {n}"))));
    }
}

fn serve(mut stream: TcpStream, room: u64, key: Option<&str>, kept: &Mutex<Kept>, mut judge: impl FnMut() -> Does) {
    if let Some(key) = key
        && !greet(&mut stream, key)
    {
        return;
    }
    while let Ok(message) = read_value(&mut (&mut stream).take(room)) {
        let parts = message.as_array().unwrap();
        assert_eq!(parts[0].as_str(), Some("app"));
        let options = &parts[2];
        let mut entries = parts[1].as_slice().unwrap().to_vec();
        if options["compressed"].as_str() == Some("gzip") {
            let packed = std::mem::take(&mut entries);
            GzDecoder::new(&packed[..]).read_to_end(&mut entries).unwrap();
        }
        let (mut rest, mut count) = (&entries[..], 0);
        while !rest.is_empty() {
            let entry = read_value(&mut rest).unwrap();
            let (kind, time) = entry[0].as_ext().unwrap();
            assert!(kind == 0 && time.len() == 8);
            let text = entry[1]["message"].as_str().unwrap().to_owned();
            let mut kept = kept.lock().unwrap();
            let (times, last) = kept.entry(text).or_insert((0, Value::Nil));
            *times += 1;
            *last = entry.clone();
            count += 1;
        }
        assert_eq!(options["size"].as_u64(), Some(count));
        let chunk = match judge() {
            Does::Acknowledge => options["chunk"].clone(),
            Does::HangUp => return,
            Does::Lie => "another".into(),
        };
        write_value(&mut stream, &Value::Map(vec![("ack".into(), chunk)])).unwrap();
    }
}

fn digest(parts: &[&[u8]]) -> String {
    let digest = Sha512::digest(parts.concat());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As a server does that has a shared key and users; false if it does not know who is there.
fn greet(stream: &mut TcpStream, key: &str) -> bool {
    let (nonce, auth) = (b"\x00\xffnonce", b"auth-salt");
    let options = vec![
        ("nonce".into(), Value::Binary(nonce.to_vec())),
        ("auth".into(), Value::Binary(auth.to_vec())),
        ("keepalive".into(), true.into()),
    ];
    write_value(stream, &Value::Array(vec!["HELO".into(), Value::Map(options)])).unwrap();
    let Ok(ping) = read_value(stream) else { return false };
    let part = |index: usize| {
        ping[index]
            .as_slice()
            .or_else(|| ping[index].as_str().map(str::as_bytes))
            .unwrap()
    };
    assert_eq!(ping[0].as_str(), Some("PING"));
    let (host, salt) = (part(1), part(2));
    let is_known = ping[3].as_str() == Some(&digest(&[salt, host, nonce, key.as_bytes()]))
        && ping[4].as_str() == Some("ann")
        && ping[5].as_str() == Some(&digest(&[auth, b"ann", b"word"]));
    let proof = digest(&[salt, b"server", nonce, key.as_bytes()]);
    let pong = [
        Value::from("PONG"),
        is_known.into(),
        "shared_key mismatch".into(),
        "server".into(),
        proof.into(),
    ];
    write_value(stream, &Value::Array(pong.into())).unwrap();
    stream.flush().unwrap();
    is_known
}

#[test]
fn records_arrive_with_their_time_and_fields_over_kept_connections() {
    for packed in [&[][..], &["--compress=gzip"]] {
        let (pod, server) = (Pod::new(), Server::start(None, || Does::Acknowledge));
        let line = r#"{"time":"2026-11-26T10:00:00.5Z","level":"WARN","message":"line 0","n":-7,"f":1.5,"deep":{"a":[1,null,true]}}"#;
        pod.append("app.log", format!("{line}\n"));
        let to = format!("forward+tcp://{}/app", server.address);
        let more = [&["--parse", "json", "--field", "team=shop"], packed].concat();
        let running = pod.start_to(&to, &more);
        server.wait_for(1);
        for round in 1..20 {
            pod.append_lines("app.log", round..round + 1);
            server.wait_for(round + 1);
        }
        pod.stop(running);
        server.assert_lines(20);
        let kept = server.kept.lock().unwrap();
        let (times, entry) = &kept["line 0"];
        let time = [1_795_687_200_u32.to_be_bytes(), 500_000_000_u32.to_be_bytes()].concat();
        let fields = &entry[1];
        assert_eq!((*times, entry[0].as_ext().unwrap().1), (1, &time[..]));
        assert_eq!((fields["n"].as_i64(), fields["f"].as_f64()), (Some(-7), Some(1.5)));
        assert_eq!(fields["deep"].to_string(), r#"{"a": [1, nil, true]}"#);
        assert_eq!(
            (fields["team"].as_str(), fields["log"]["level"].as_str()),
            (Some("shop"), Some("warn"))
        );
        assert_eq!(fields["log"]["offset"].as_u64(), Some(0));
        assert!(fields["log"]["file"]["path"].as_str().unwrap().ends_with("/app.log"));
        assert!(fields["event"]["id"].as_str().unwrap().contains("-0-"));
        let connections = *server.connections.lock().unwrap();
        assert!(connections <= 4, "{connections}");
    }
}

#[test]
fn what_is_not_acknowledged_is_sent_again() {
    let mut messages = 0;
    let (pod, server) = (
        Pod::new(),
        Server::start(None, move || {
            messages += 1;
            match messages {
                2 => Does::HangUp,
                4 => Does::Lie,
                _ => Does::Acknowledge,
            }
        }),
    );
    let running = pod.start_to(
        &format!("forward+tcp://{}/app", server.address),
        &["--batch-size", "8KiB", "--max-record", "4KiB"],
    );
    for round in 0..10 {
        pod.append_lines("app.log", round * 100..round * 100 + 100);
        server.wait_for(round * 100 + 100);
    }
    running.wait_for_log("it hangs up without an answer");
    running.wait_for_log("it acknowledges \\\"another\\\"");
    pod.stop(running);
    server.assert_lines(1000);
}

/// There is no other answer to a message for which the server has no room.
#[test]
fn what_the_server_has_no_room_for_is_sent_in_parts() {
    let (pod, server) = (Pod::new(), Server::with_room(8 << 10, None, || Does::Acknowledge));
    pod.append_lines("app.log", 0..2000);
    let running = pod.start_to(
        &format!("forward+tcp://{}/app", server.address),
        &["--retry-max", "100ms"],
    );
    let told = running.wait_for_log("sending in halves");
    assert!(told.contains("lower --batch-size"), "{told}");
    server.wait_for(2000);
    pod.stop(running);
    server.assert_lines(2000);
    assert!(server.kept.lock().unwrap().values().all(|(times, _)| *times == 1));
}

#[test]
fn whether_a_server_wants_a_key_is_asked() {
    let (open, closed) = (
        Server::start(None, || Does::Acknowledge),
        Server::start(Some("common"), || Does::Acknowledge),
    );
    let check = |server: &Server, more: &[&str]| {
        let to = format!("forward+tcp://{}/app", server.address);
        let mut command = testbed::process::command(crate::BIN);
        command
            .args(["check", "--include", "/logs/*.log", "--to", &to])
            .args(more);
        testbed::process::code_and_stderr(&command.output().unwrap())
    };
    assert_eq!(check(&open, &["--online"]).0, Some(0));
    let (code, said) = check(&closed, &["--online"]);
    assert!(code == Some(1) && said.contains("give --shared-key"), "{said}");
    let (code, said) = check(&open, &["--username", "ann", "--password", "env:PASSWORD"]);
    assert!(code == Some(2) && said.contains("give --shared-key"), "{said}");
}

#[test]
fn both_sides_prove_that_they_know_the_key() {
    let pod = Pod::new();
    for (name, secret) in [("key", "common"), ("wrong", "other"), ("word", "word")] {
        std::fs::write(pod.dir.path().join(name), secret).unwrap();
    }
    let secret = |name: &str| format!("file:{}", pod.dir.path().join(name).display());
    let server = Server::start(Some("common"), || Does::Acknowledge);
    let to = format!("forward+tcp://{}/app", server.address);
    let (user, word, key, wrong) = ("ann", secret("word"), secret("key"), secret("wrong"));
    pod.append_lines("app.log", 0..10);
    for (more, told) in [
        (&[][..], "it asks who we are; give --shared-key"),
        (
            &["--shared-key", &key],
            "give --shared-key, --username and --password as they are there",
        ),
        (
            &["--shared-key", &wrong, "--username", user, "--password", &word],
            "it does not know us: shared_key mismatch",
        ),
    ] {
        let running = pod.start_to(&to, more);
        running.wait_for_log(told);
        running.kill();
    }
    assert_eq!(server.count(), 0);
    let running = pod.start_to(&to, &["--shared-key", &key, "--username", user, "--password", &word]);
    server.wait_for(10);
    pod.stop(running);
    server.assert_lines(10);
}

#[test]
fn in_tls_too_connections_are_kept() {
    let (pod, server, ours) = (Pod::new(), Server::start(None, || Does::Acknowledge), Authority::new());
    let front = Front::start(&server.address.to_string(), ours.server("127.0.0.1")).unwrap();
    let pem = write(&pod, "ca.pem", &ours.pem());
    let running = pod.start_to(&format!("forward+tls://{}/app", front.address()), &[&flag("ca", &pem)]);
    for round in 0..20 {
        pod.append_lines("app.log", round..round + 1);
        server.wait_for(round + 1);
    }
    pod.stop(running);
    server.assert_lines(20);
    let connections = *server.connections.lock().unwrap();
    assert!(connections <= 4, "{connections}");
}
