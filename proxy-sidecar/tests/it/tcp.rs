use std::io::{Read as _, Write as _};

use testbed::wait;

use crate::{Client, assert_mirrored, mirror, nobody, proxy, raw_endpoint, read_until, wait_for_metric};

#[test]
fn bytes_pass_both_ways_and_each_end_by_itself() {
    let (_proxy, address) = proxy("tcp", &[&nobody(), &mirror()], &[]);
    for _ in 0..5 {
        assert_mirrored(&address, 1_000_000);
    }
}

#[test]
fn a_server_may_speak_first() {
    let endpoint = raw_endpoint(|mut stream| {
        stream.write_all(b"220 ready\r\n").unwrap();
        read_until(&mut stream, b"QUIT\r\n");
        stream.write_all(b"221 bye\r\n").unwrap();
    });
    let (_proxy, address) = proxy("tcp", &[&endpoint], &[]);
    let mut client = Client::connect(&address);
    assert_eq!(read_until(&mut client.0, b"\r\n"), b"220 ready\r\n");
    client.send(b"QUIT\r\n");
    assert_eq!(client.rest(), b"221 bye\r\n");
}

/// Who answers `count` connections.
fn answering(address: &str, count: usize) -> Vec<Vec<u8>> {
    let mut seen: Vec<_> = (0..count).map(|_| Client::connect(address).rest()).collect();
    seen.sort();
    seen.dedup();
    seen
}

#[test]
fn a_service_stays_with_one_endpoint_while_it_is_well() {
    let says = |name: &'static [u8]| raw_endpoint(move |mut stream| drop(stream.write_all(name)));
    let (one, two) = (says(b"one"), says(b"two"));
    let (_proxy, address) = proxy("tcp", &[&nobody(), &one, &two], &[]);
    assert_eq!(
        answering(&address, 40).len(),
        1,
        "as a cancel request of PostgreSQL needs it"
    );
    let (_proxy, address) = proxy("tcp", &[&one, &two], &["--balance", "least"]);
    assert_eq!(answering(&address, 40).len(), 2);
}

#[test]
fn all_down_closes_and_says_why() {
    let (proxy, address) = proxy("tcp", &[&nobody()], &[]);
    let mut client = Client::connect(&address);
    assert_eq!(client.rest(), b"");
    proxy.wait_for_log("no tunnel");
    wait_for_metric(
        &proxy,
        "proxy_failures_total{service=\"default\",reason=\"unreachable\"} 1",
    );
}

#[test]
fn a_silent_tunnel_is_closed() {
    let endpoint = raw_endpoint(|mut stream| drop(read_until(&mut stream, b"never")));
    let (mut proxy, address) = proxy("tcp", &[&endpoint], &["--idle-timeout", "100ms"]);
    assert_eq!(Client::connect(&address).rest(), b"");
    proxy.terminate();
    wait::until("the end", || proxy.has_ended().then_some(()));
}

#[test]
fn a_reset_on_either_side_reaches_the_other_at_once() {
    let (sender, receiver) = std::sync::mpsc::sync_channel(4);
    let endpoint = raw_endpoint(move |mut stream| {
        let word = read_until(&mut stream, b"\n");
        if word == b"break off\n" {
            // Unread data turns the close into a reset.
            std::thread::sleep(std::time::Duration::from_millis(20));
        } else if word == b"leave\n" {
            stream.write_all(b"unread").unwrap();
            sender.send(stream.read(&mut [0]).is_err()).unwrap();
        }
    });
    let (_proxy, address) = proxy("tcp", &[&endpoint], &[]);
    let mut client = Client::connect(&address);
    client.send(b"break off\nand more that nobody reads");
    assert!(client.0.read(&mut [0]).is_err(), "the client sees the reset");
    let mut client = Client::connect(&address);
    client.send(b"leave\n");
    assert_eq!(client.0.peek(&mut [0]).unwrap(), 1);
    drop(client);
    assert!(
        receiver.recv_timeout(wait::PATIENCE).unwrap(),
        "the endpoint sees the reset"
    );
}
