//! PostgreSQL's way into TLS, with a server that is a script; the real one is among the peers of the testbed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use std::{io, thread};

use testbed::process::Running;
use testbed::tls::{Authority, Front};
use testbed::wait::PATIENCE;

use crate::{Client, nobody, proxy, raw_endpoint, wait_for_metric};

const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSSENC_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const START: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";
const SASL: &[u8] = b"R\0\0\0\x2a\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
const SASL_WITHOUT_BINDING: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";

/// A server that answers a request for TLS with `answer`, and if that is `S`, speaks TLS for `script` from there on.
struct Server {
    address: String,
    ca: String,
    _files: tempfile::TempDir,
}

impl Server {
    fn start(answer: &'static [u8], script: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let authority = Authority::new();
        let front = Front::start(&raw_endpoint(script), authority.server("127.0.0.1")).unwrap();
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("ca.pem");
        std::fs::write(&path, authority.pem()).unwrap();
        let address = raw_endpoint(move |mut client| {
            let mut asked = [0; 8];
            if client.read_exact(&mut asked).is_err() {
                return;
            }
            assert_eq!(asked, SSL_REQUEST);
            client.write_all(answer).unwrap();
            let mut inner = TcpStream::connect(front.address()).unwrap();
            let (mut up, mut to) = (client.try_clone().unwrap(), inner.try_clone().unwrap());
            thread::spawn(move || {
                drop(io::copy(&mut up, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
            drop(io::copy(&mut inner, &mut client));
            drop(client.shutdown(Shutdown::Write));
        });
        let ca = format!("--ca={}", path.display());
        Self {
            address,
            ca,
            _files: files,
        }
    }

    fn proxy(&self, more: &[&str]) -> (Running, String) {
        let mut all = vec![&*self.ca];
        all.extend(more);
        proxy("postgres", &[&self.address], &all)
    }
}

/// A server that takes a first message, asks for a login, and sends back whatever comes; and the first messages.
fn postgres() -> (Server, Receiver<Vec<u8>>) {
    let (sender, first) = sync_channel(16);
    let server = Server::start(b"S", move |mut stream| {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).is_err() {
            // Somebody looked whether it is there.
            return;
        }
        let mut message = length.to_vec();
        message.resize(u32::from_be_bytes(length) as usize, 0);
        stream.read_exact(&mut message[4..]).unwrap();
        let cancels = message.len() == 16;
        sender.send(message).unwrap();
        if !cancels {
            // A notice comes first, and something of the next message with what is asked.
            stream.write_all(b"N\0\0\0\x06M\0").unwrap();
            stream.write_all(SASL).unwrap();
            let mut stream = (stream.try_clone().unwrap(), stream);
            drop(io::copy(&mut stream.0, &mut stream.1));
        }
    });
    (server, first)
}

fn expect(client: &mut Client, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    client.0.read_exact(&mut read).unwrap();
    assert_eq!(read, bytes, "{}", String::from_utf8_lossy(&read));
}

fn assert_logged_in(client: &mut Client) {
    expect(client, b"N\0\0\0\x06M\0");
    expect(client, SASL_WITHOUT_BINDING);
    client.send(b"p\0\0\0\x08pass");
    expect(client, b"p\0\0\0\x08pass");
    client.close_write();
    assert_eq!(client.rest(), b"");
}

#[test]
fn the_application_is_told_that_there_is_no_tls_and_the_server_has_it() {
    let (server, first) = postgres();
    let (_proxy, address) = server.proxy(&[]);
    for asks in [
        &[][..],
        &[SSL_REQUEST],
        &[GSSENC_REQUEST],
        &[GSSENC_REQUEST, SSL_REQUEST],
    ] {
        let mut client = Client::connect(&address);
        for request in asks {
            client.send(request);
            expect(&mut client, b"N");
        }
        client.send(START);
        assert_eq!(first.recv_timeout(PATIENCE).unwrap(), START);
        assert_logged_in(&mut client);
    }
}

#[test]
fn a_first_message_may_come_in_parts_or_with_more() {
    let (server, first) = postgres();
    let (_proxy, address) = server.proxy(&[]);
    let mut client = Client::connect(&address);
    for byte in SSL_REQUEST.iter().chain(START) {
        client.send(&[*byte]);
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(first.recv_timeout(PATIENCE).unwrap(), START);
    expect(&mut client, b"N");
    assert_logged_in(&mut client);

    let mut client = Client::connect(&address);
    client.send(&[SSL_REQUEST, START, b"more"].concat());
    assert_eq!(first.recv_timeout(PATIENCE).unwrap(), START);
    expect(&mut client, b"N");
    expect(&mut client, b"N\0\0\0\x06M\0");
    expect(&mut client, SASL_WITHOUT_BINDING);
    expect(&mut client, b"more");
}

#[test]
fn a_cancel_request_passes_and_has_no_answer() {
    let (server, first) = postgres();
    let (_proxy, address) = server.proxy(&[]);
    let cancel = b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09";
    let mut client = Client::connect(&address);
    client.send(cancel);
    assert_eq!(first.recv_timeout(PATIENCE).unwrap(), cancel);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_server_without_tls_gets_nothing_and_the_application_is_told() {
    for (answer, why) in [
        (&b"N"[..], "let it have ssl = on"),
        (b"E", "refuses every connection"),
        (b"HTTP/1.1 400 Bad Request", "does not speak PostgreSQL"),
        // Whatever somebody on the way puts behind the answer is no TLS.
        (b"SE\0\0\0\x08MX\0\0", "does not speak TLS"),
    ] {
        let server = Server::start(answer, |mut stream| {
            let mut all = Vec::new();
            drop(stream.read_to_end(&mut all));
            assert_eq!(all, b"");
        });
        let (proxy, address) = server.proxy(&[]);
        let mut client = Client::connect(&address);
        client.send(SSL_REQUEST);
        expect(&mut client, b"N");
        client.send(START);
        let refusal = client.rest();
        let text = String::from_utf8_lossy(&refusal);
        assert!(
            refusal.starts_with(b"E\0\0") && text.contains("SFATAL\0VFATAL\0C08006\0M"),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
        wait_for_metric(
            &proxy,
            "proxy_failures_total{service=\"default\",reason=\"handshake\"} 1",
        );
    }
}

#[test]
fn who_insists_on_tls_or_says_something_else_is_left_alone() {
    let (server, first) = postgres();
    let (proxy, address) = server.proxy(&[]);
    let three = [SSL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, START].concat();
    for begins in [
        &b"\x16\x03\x01\x02\0\x01"[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &three,
        b"\0\0\x7f\xff",
    ] {
        let mut client = Client::connect(&address);
        client.send(begins);
        assert!(client.rest().len() <= 3);
    }
    assert!(first.try_recv().is_err());
    wait_for_metric(
        &proxy,
        "proxy_broken_exchanges_total{service=\"default\",by=\"client\"} 4",
    );
}

#[test]
fn there_is_no_endpoint_and_no_place() {
    let (_proxy, address) = proxy("postgres", &[&nobody()], &["--tls-insecure"]);
    let mut client = Client::connect(&address);
    client.send(START);
    assert!(String::from_utf8_lossy(&client.rest()).contains("can be reached"));

    let (server, first) = postgres();
    let (_proxy, address) = server.proxy(&["--max-connections", "1"]);
    let mut there = Client::connect(&address);
    there.send(START);
    first.recv_timeout(PATIENCE).unwrap();
    let mut client = Client::connect(&address);
    client.send(SSL_REQUEST);
    expect(&mut client, b"N");
    client.send(START);
    assert!(String::from_utf8_lossy(&client.rest()).contains("see max-connections"));
    assert_logged_in(&mut there);
}

#[test]
fn a_server_that_ends_before_it_says_anything_is_told_of() {
    let server = Server::start(b"S", drop);
    let (proxy, address) = server.proxy(&[]);
    let mut client = Client::connect(&address);
    client.send(START);
    let text = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(
        text.starts_with('E') && text.contains("broke off before it answered"),
        "{text}"
    );
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"broken_off\"} 1",
    );
}

#[test]
fn a_client_that_leaves_gives_its_place_back_while_the_server_is_silent() {
    let server = Server::start(b"S", |mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let (proxy, address) = server.proxy(&["--max-connections", "2"]);
    for _ in 0..2 {
        let mut client = Client::connect(&address);
        client.send(START);
        wait_for_metric(&proxy, "proxy_connections{service=\"default\"} 1");
        drop(client);
        wait_for_metric(&proxy, "proxy_connections{service=\"default\"} 0");
        let mut client = Client::connect(&address);
        client.send(START);
        wait_for_metric(&proxy, "proxy_connections{service=\"default\"} 1");
        client.reset();
        wait_for_metric(&proxy, "proxy_connections{service=\"default\"} 0");
    }
}
