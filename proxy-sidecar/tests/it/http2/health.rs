//! Endpoints that are asked by `grpc.health.v1` how they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::peer::{After, Client, Endpoint, Turn, answer, rest, run};
use super::proxy;

/// It says this of the service `my.Orders`, and does not know any other.
fn endpoint(text: &'static str, state: &Arc<AtomicU8>) -> Endpoint {
    let state = Arc::clone(state);
    Endpoint::start(100, move |turn: Turn| {
        let state = state.load(Ordering::SeqCst);
        async move {
            let Turn {
                request, mut respond, ..
            } = turn;
            if request.uri().path() != "/grpc.health.v1.Health/Check" {
                answer(respond, text);
                return After::Stay;
            }
            let question = rest(&mut request.into_body()).await.unwrap();
            let is_known = question == b"\0\0\0\0\x0b\x0a\x09my.Orders";
            let mut back = respond.send_response(Response::new(()), false).unwrap();
            if is_known {
                back.send_data(Bytes::from(vec![0, 0, 0, 0, 2, 8, state]), false)
                    .unwrap();
            }
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", if is_known { 0 } else { 5 }.into());
            back.send_trailers(trailers).unwrap();
            After::Stay
        }
    })
}

#[test]
fn only_who_says_that_it_serves_is_asked() {
    let states: [Arc<AtomicU8>; 2] = [Arc::new(AtomicU8::new(1)), Arc::new(AtomicU8::new(2))];
    let endpoints = [endpoint("first", &states[0]), endpoint("second", &states[1])];
    let (proxy, address) = proxy(
        "grpc",
        &[&endpoints[0], &endpoints[1]],
        &[
            "--health",
            "grpc://*/my.Orders",
            "--health-interval",
            "100ms",
            "--health-policy",
            "require",
        ],
    );
    proxy.wait_for_log("it says NOT_SERVING");
    run(async {
        let client = Client::connect(&address).await;
        for _ in 0..10 {
            assert_eq!(client.post("/", b"x").await.body, "first");
        }
        states[0].store(2, Ordering::SeqCst);
        states[1].store(1, Ordering::SeqCst);
        for (text, endpoint) in [("passes its", &endpoints[1]), ("does not pass its", &endpoints[0])] {
            let address = &endpoint.address;
            proxy.wait_for_log(&format!("endpoint {text} health check\",\"endpoint\":\"{address}\""));
        }
        for _ in 0..10 {
            assert_eq!(client.post("/", b"x").await.body, "second");
        }
    });
}

#[test]
fn a_service_that_is_not_known_does_not_serve() {
    let endpoint = endpoint("first", &Arc::new(AtomicU8::new(1)));
    let (proxy, _) = proxy("grpc", &[&endpoint], &["--health", "grpc://*"]);
    proxy.wait_for_log("its health service answers not_found");
}
