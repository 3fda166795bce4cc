//! Names: a name server of our own says what they stand for.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testbed::http::{Reply, Server};
use testbed::process::Running;
use testbed::wait;

use crate::{Client, proxy};

/// What a name server says: addresses with their seconds, another code than "no error", or nothing.
#[derive(Clone)]
enum Says {
    Addresses(Vec<Ipv4Addr>, u32),
    Code(u8),
    Nothing,
}

struct NameServer {
    address: String,
    says: Arc<Mutex<Says>>,
    /// Questions for IPv4 addresses.
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    fn start(says: Says, delay: Duration) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: socket.local_addr().unwrap().to_string(),
            says: Arc::new(Mutex::new(says)),
            asked: Arc::default(),
        };
        let (says, asked) = (Arc::clone(&server.says), Arc::clone(&server.asked));
        thread::spawn(move || {
            let mut block = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut block) {
                let question = block[..length].to_vec();
                let is_v4 = question[length - 3] == 1;
                if is_v4 {
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                let (says, socket) = (says.lock().unwrap().clone(), socket.try_clone().unwrap());
                thread::spawn(move || {
                    thread::sleep(delay);
                    if let Some(answer) = answer(question, is_v4, says) {
                        socket.send_to(&answer, from).unwrap();
                    }
                });
            }
        });
        server
    }

    fn say(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }
}

fn answer(mut message: Vec<u8>, is_v4: bool, says: Says) -> Option<Vec<u8>> {
    let (addresses, ttl, code) = match says {
        Says::Nothing => return None,
        Says::Code(code) => (Vec::new(), 0, code),
        Says::Addresses(addresses, ttl) => (addresses, ttl, 0),
    };
    let addresses = if is_v4 { addresses } else { Vec::new() };
    (message[2], message[3]) = (0x81, 0x80 | code);
    message[7] = u8::try_from(addresses.len()).unwrap();
    for address in addresses {
        // The name of the question, A, IN.
        message.extend([0xc0, 12, 0, 1, 0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend([0, 4]);
        message.extend(address.octets());
    }
    Some(message)
}

/// Members of a headless Service: each on an address of its own, with one port.
struct Pods {
    port: u16,
    servers: Vec<(Ipv4Addr, Server)>,
}

impl Pods {
    fn start(last: &[u8]) -> Self {
        let mut pods = Self {
            port: 0,
            servers: Vec::new(),
        };
        last.iter().for_each(|last| pods.add(*last));
        pods
    }

    fn add(&mut self, last: u8) {
        let ip = Ipv4Addr::new(127, 0, 77, last);
        let server = Server::start(&format!("{ip}:{}", self.port), move |_| {
            Reply::text(200, ip.to_string())
        })
        .unwrap();
        self.port = server.address().port();
        self.servers.push((ip, server));
    }

    fn remove(&mut self, last: u8) {
        self.servers.retain(|(ip, _)| ip.octets()[3] != last);
    }

    fn addresses(&self) -> Vec<Ipv4Addr> {
        self.servers.iter().map(|(ip, _)| *ip).collect()
    }

    fn proxy(&self, names: &NameServer, more: &[&str]) -> (Running, String) {
        let mut args = vec!["--dns", &*names.address];
        args.extend(more);
        proxy("http", &[&format!("pods.example.:{}", self.port)], &args)
    }
}

/// Who answers `count` requests, each on a connection of its own.
fn answering(address: &str, count: usize) -> Vec<String> {
    let mut seen: Vec<String> = (0..count)
        .map(|_| {
            let response = Client::connect(address).get("/");
            assert_eq!(response.status, 200, "{}", response.text());
            response.text()
        })
        .collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn every_address_of_a_name_is_an_endpoint() {
    let pods = Pods::start(&[1, 2, 3]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 30), Duration::ZERO);
    let (_proxy, address) = pods.proxy(&names, &[]);
    assert_eq!(answering(&address, 60), ["127.0.77.1", "127.0.77.2", "127.0.77.3"]);
}

#[test]
fn members_that_come_and_go_are_followed_and_no_client_sees_it() {
    let mut pods = Pods::start(&[11, 12]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 0), Duration::ZERO);
    let (proxy, address) = pods.proxy(&names, &[]);
    assert_eq!(answering(&address, 40), ["127.0.77.11", "127.0.77.12"]);
    pods.add(13);
    names.say(Says::Addresses(pods.addresses()[1..].to_vec(), 0));
    proxy.wait_for_log("endpoint has left the cluster");
    assert_eq!(answering(&address, 40), ["127.0.77.12", "127.0.77.13"]);
    // One dies before its name says so.
    pods.remove(12);
    assert_eq!(answering(&address, 40), ["127.0.77.13"]);
}

#[test]
fn a_dead_cluster_is_asked_for_again_at_once() {
    let mut pods = Pods::start(&[21]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 60), Duration::ZERO);
    let (_proxy, address) = pods.proxy(&names, &[]);
    assert_eq!(answering(&address, 1), ["127.0.77.21"]);
    thread::sleep(Duration::from_millis(1100));
    pods.add(22);
    pods.remove(21);
    names.say(Says::Addresses(pods.addresses(), 60));
    let start = Instant::now();
    wait::until("the new member", || {
        (Client::connect(&address).get("/").status == 200).then_some(())
    });
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "and not after its 60 seconds"
    );
}

#[test]
fn a_slow_answer_is_waited_for_by_all_with_one_question() {
    let pods = Pods::start(&[31]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 30), Duration::from_millis(700));
    let (_proxy, address) = pods.proxy(&names, &[]);
    let clients: Vec<_> = (0..20)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || Client::connect(&address).get("/").status)
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().unwrap(), 200);
    }
    assert_eq!(names.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn a_name_server_that_is_silent_holds_requests_up_only_so_long_and_gathers_nothing() {
    let pods = Pods::start(&[41]);
    let names = NameServer::start(Says::Nothing, Duration::ZERO);
    let (proxy, address) = pods.proxy(&names, &["--resolve-timeout", "300ms"]);
    for _ in 0..5 {
        let response = Client::connect(&address).get("/");
        assert_eq!(
            (response.status, response.header("proxy-status")),
            (503, Some("proxy-sidecar; error=dns_error; details=\"unresolved\""))
        );
        assert!(
            response
                .text()
                .contains("service default has no endpoints: pods.example.: no answer")
        );
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", proxy.id())).unwrap().count();
    let files = std::fs::read_dir(format!("/proc/{}/fd", proxy.id())).unwrap().count();
    assert!(threads <= 2 && files < 24, "{threads} threads, {files} files");
    names.say(Says::Addresses(pods.addresses(), 30));
    wait::until("the late answer", || {
        (Client::connect(&address).get("/").status == 200).then_some(())
    });
}

#[test]
fn the_last_good_addresses_outlive_a_name_server() {
    let pods = Pods::start(&[51]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 0), Duration::ZERO);
    let (proxy, address) = pods.proxy(&names, &[]);
    assert_eq!(answering(&address, 1), ["127.0.77.51"]);
    for says in [Says::Code(2), Says::Code(3), Says::Nothing] {
        names.say(says);
        let before = names.asked.load(Ordering::Relaxed);
        wait::until("a question", || {
            (names.asked.load(Ordering::Relaxed) > before).then_some(())
        });
        thread::sleep(Duration::from_millis(50));
        assert_eq!(answering(&address, 5), ["127.0.77.51"]);
    }
    proxy.wait_for_log("the last good addresses are kept");
}

#[test]
fn a_connection_grows_old() {
    let pods = Pods::start(&[61]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 30), Duration::ZERO);
    let (_proxy, address) = pods.proxy(&names, &["--upstream-max-age", "200ms"]);
    let mut client = Client::connect(&address);
    for _ in 0..5 {
        assert_eq!(client.get("/").status, 200);
        thread::sleep(Duration::from_millis(100));
    }
    let connections = pods.servers[0].1.accepted();
    assert!(
        (2..=5).contains(&connections),
        "{connections} connections for 5 requests"
    );
}

#[test]
fn a_request_that_has_been_everywhere_waits_for_news_of_its_cluster() {
    let mut pods = Pods::start(&[71]);
    let names = NameServer::start(Says::Addresses(pods.addresses(), 60), Duration::ZERO);
    let (_proxy, address) = pods.proxy(&names, &[]);
    assert_eq!(answering(&address, 1), ["127.0.77.71"]);
    // A doubt is allowed once a second.
    thread::sleep(Duration::from_millis(1100));
    pods.add(72);
    pods.remove(71);
    names.say(Says::Addresses(pods.addresses(), 60));
    assert_eq!(answering(&address, 5), ["127.0.77.72"], "nobody sees the change");
}
