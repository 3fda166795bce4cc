//! The admin address of a sidecar.

use crate::client::{exchange, get, get_with};
use crate::contract::sockets::{assert_no_delay, assert_takes_a_burst};
use crate::process::{Running, code_and_stderr, run};

/// What every sidecar's admin side does, of the one at `running`; `others` starts a second one of the same binary, but for `--admin`.
#[track_caller]
pub fn assert_admin_side(running: &Running, binary: &str, others: &[&str]) {
    let address = running.address("\"admin listening\"");
    let name = binary.rsplit('/').next().expect("a path has a last part");
    let metrics = |accept| {
        let answer = get_with(&address, "/metrics", &[("Accept", accept)]).expect("it answers");
        assert_eq!(answer.status, 200);
        let server = answer.header("server").unwrap_or_default().to_owned();
        assert!(server.starts_with(&format!("{name}/")), "{server:?}");
        (
            answer.header("content-type").unwrap_or_default().to_owned(),
            answer.text(),
        )
    };
    let (kind, text) = metrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4");
    assert!(
        kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"),
        "{kind}\n{text}"
    );
    let (kind, text) = metrics("application/openmetrics-text;q=0, text/plain");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    assert!(text.contains("_panics_total 0\n"), "{text}");
    let put = exchange(
        &address,
        b"PUT /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    )
    .expect("it answers");
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(get(&address, "/healthz").expect("it answers").status, 200);
    assert_no_delay(running, &address);
    assert_takes_a_burst(running, &address);

    let second = run(binary, &[others, &["--admin", &address]].concat());
    let (code, stderr) = code_and_stderr(&second);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains(&format!("; {name}/")) && stderr.contains("another one with --admin, such as 127.0.0.1:"),
        "{stderr}"
    );
}
