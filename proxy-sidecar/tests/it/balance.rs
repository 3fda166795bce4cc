//! Who gets which request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use testbed::client::get_with;
use testbed::http::{Reply, Request, Server};
use testbed::peer::Backend;
use testbed::wait;

use crate::{Client, proxy};

fn backends<const N: usize>() -> [Backend; N] {
    std::array::from_fn(|number| Backend::start("127.0.0.1:0", &format!("b{number}")).unwrap())
}

/// How often each name has answered.
fn shares(address: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut client = Client::connect(address);
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let response = client.get("/");
        assert_eq!(response.status, 200);
        *shares.entry(response.text().trim().to_owned()).or_default() += 1;
    }
    shares
}

#[test]
fn in_turn_and_by_weight() {
    let backends = backends::<2>();
    let heavy = format!("{}#weight=3", backends[1].address());
    let (_proxy, address) = proxy("http", &[&backends[0].address(), &heavy], &["--balance", "round-robin"]);
    let shares = shares(&address, 400);
    assert_eq!(shares.into_values().collect::<Vec<_>>(), [100, 300]);
}

#[test]
fn a_lower_priority_is_for_when_the_others_are_gone() {
    let [first, second] = backends::<2>();
    let first_address = first.address();
    let spare = format!("{}#priority=1", second.address());
    for balance in ["peak-ewma", "least", "round-robin", "sticky"] {
        let (_proxy, address) = proxy("http", &[&first_address, &spare], &["--balance", balance]);
        assert_eq!(
            shares(&address, 50).into_keys().collect::<Vec<_>>(),
            ["hello from b0"],
            "{balance}"
        );
    }
    let (_proxy, address) = proxy("http", &[&first_address, &spare], &[]);
    drop(first);
    assert_eq!(shares(&address, 50).into_keys().collect::<Vec<_>>(), ["hello from b1"]);
    let _first = Backend::start(&first_address, "b0").unwrap();
    let mut client = Client::connect(&address);
    wait::until("the first one to be used again", || {
        client.get("/").text().contains("b0").then_some(())
    });
}

#[test]
fn what_has_the_same_key_goes_to_the_same_endpoint_whichever_proxy_it_is() {
    let backends = backends::<4>();
    let addresses: Vec<String> = backends.iter().map(Backend::address).collect();
    let endpoints: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let by = |endpoints: &[&str], part: &str| proxy("http", endpoints, &["--balance", "hash", "--hash-by", part]);
    let answer = |address: &str, name: &str, value: &str| {
        let response = get_with(address, "/", &[(name, value)]).unwrap();
        assert_eq!(response.status, 200);
        response.text()
    };
    let (_one, one) = by(&endpoints, "header:X-Tenant");
    let reversed: Vec<&str> = endpoints.iter().rev().copied().collect();
    let (_other, other) = by(&reversed, "header:X-Tenant");
    let (_fewer, fewer) = by(&endpoints[1..], "header:X-Tenant");
    let (_cookies, cookies) = by(&endpoints, "cookie:tenant");
    let mut owners = BTreeMap::new();
    for tenant in (0..40).map(|number| format!("tenant-{number}")) {
        let owner = answer(&one, "X-Tenant", &tenant);
        for _ in 0..3 {
            assert_eq!(answer(&other, "x-tenant", &tenant), owner);
            assert_eq!(answer(&cookies, "Cookie", &format!("a=b; tenant={tenant}")), owner);
        }
        if !owner.contains("b0") {
            assert_eq!(answer(&fewer, "X-Tenant", &tenant), owner);
        }
        *owners.entry(owner).or_insert(0) += 1;
    }
    assert_eq!(owners.len(), 4, "{owners:?}");
    assert_eq!(shares(&one, 100).len(), 4, "without the header, by load");
}

#[test]
fn the_requests_of_one_session_are_together_however_many_there_are() {
    let named = |name: &'static str| {
        Server::start("127.0.0.1:0", move |_: &Request| {
            thread::sleep(Duration::from_millis(300));
            Reply::text(200, name)
        })
        .unwrap()
    };
    let servers = [named("a"), named("b"), named("c"), named("d")];
    let addresses = servers.each_ref().map(|server| server.address().to_string());
    let endpoints = addresses.each_ref().map(String::as_str);
    let (_proxy, address) = proxy(
        "http",
        &endpoints,
        &["--balance", "hash", "--hash-by", "cookie:session"],
    );
    let asks: Vec<_> = (0..40)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || get_with(&address, "/", &[("Cookie", "session=7")]).unwrap().text())
        })
        .collect();
    let mut owners: Vec<String> = asks.into_iter().map(|asked| asked.join().unwrap()).collect();
    owners.dedup();
    assert_eq!(owners.len(), 1, "{owners:?}");
}

#[test]
fn what_is_at_one_address_by_two_paths_are_two_endpoints() {
    let server = Server::start("127.0.0.1:0", |request: &Request| {
        Reply::text(200, request.target.split('/').nth(1).unwrap_or_default())
    })
    .unwrap();
    let [one, two] = ["one", "two"].map(|path| format!("{}/{path}", server.address()));
    let (_proxy, address) = proxy("http", &[&one, &two], &["--balance", "hash", "--hash-by", "path"]);
    let mut client = Client::connect(&address);
    let ones = (0..100).filter(|number| client.get(&format!("/{number}")).text() == "one");
    assert!((20..80).contains(&ones.count()));
}

/// What each of two endpoints had to do when clients asked for a while; the first one answers as `odd` says.
fn against_an_odd_one(balance: &str, odd: fn() -> Reply, well: Duration) -> [usize; 2] {
    let odd = Server::start("127.0.0.1:0", move |_: &Request| odd()).unwrap();
    let well = Server::start("127.0.0.1:0", move |_: &Request| {
        thread::sleep(well);
        Reply::text(200, "well")
    })
    .unwrap();
    let endpoints = [odd.address().to_string(), well.address().to_string()];
    let (_proxy, address) = proxy("http", &[&endpoints[0], &endpoints[1]], &["--balance", balance]);
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            thread::spawn(move || {
                let mut client = Client::connect(&address);
                (0..100).filter(|_| client.get("/").text() == "well").count()
            })
        })
        .collect();
    let well: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    [400 - well, well]
}

#[test]
fn one_that_is_slow_gets_little() {
    let slow = || {
        thread::sleep(Duration::from_millis(60));
        Reply::text(200, "slow")
    };
    let [slow, _] = against_an_odd_one("peak-ewma", slow, Duration::from_millis(3));
    assert!(slow < 40, "{slow} of 400");
}

#[test]
fn a_slow_client_and_one_failure_are_no_fault_of_an_endpoint() {
    let servers = ["a", "b"].map(|name| {
        let failures = AtomicUsize::new(1);
        Server::start("127.0.0.1:0", move |_: &Request| {
            let fails = failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            Reply::text(if fails.is_ok() { 500 } else { 200 }, name)
        })
        .unwrap()
    });
    let addresses = servers.each_ref().map(|server| server.address().to_string());
    let (_proxy, address) = proxy("http", &[&addresses[0], &addresses[1]], &["--balance", "peak-ewma"]);
    let mut slow = Client::connect(&address);
    slow.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    for byte in [b"a", b"b", b"c"] {
        thread::sleep(Duration::from_millis(500));
        slow.send(byte);
    }
    slow.response();
    let mut client = Client::connect(&address);
    let mut of_a = 0;
    for _ in 0..400 {
        of_a += usize::from(client.get("/").text() == "a");
    }
    assert!((100..300).contains(&of_a), "{of_a} of 400");
}

#[test]
fn one_that_fails_fast_is_not_taken_for_fast() {
    let failing = || Reply::text(500, "sorry");
    let [failed, _] = against_an_odd_one("peak-ewma", failing, Duration::from_millis(5));
    assert!(failed < 40, "{failed} of 400");
    let [by_load, _] = against_an_odd_one("least", failing, Duration::from_millis(5));
    assert!(by_load > 200, "it draws requests by load: {by_load} of 400");
}

#[test]
fn one_that_is_back_gets_its_share_little_by_little() {
    let [first, second] = backends::<2>();
    let addresses = [first.address(), second.address()];
    let (_proxy, address) = proxy(
        "http",
        &[&addresses[0], &addresses[1]],
        &["--balance", "round-robin", "--slow-start", "4s"],
    );
    assert!(shares(&address, 100)["hello from b1"] > 40, "both are new");
    thread::sleep(Duration::from_secs(4));
    drop(second);
    assert_eq!(shares(&address, 20).into_keys().collect::<Vec<_>>(), ["hello from b0"]);
    let _second = Backend::start(&addresses[1], "b1").unwrap();
    let mut client = Client::connect(&address);
    wait::until("it to be back", || client.get("/").text().contains("b1").then_some(()));
    let of_new = shares(&address, 100)["hello from b1"];
    assert!((1..35).contains(&of_new), "{of_new} of 100, at once");
    thread::sleep(Duration::from_secs(4));
    let of_warm = shares(&address, 100)["hello from b1"];
    assert!(of_warm > 45, "{of_warm} of 100, after its time");
}
