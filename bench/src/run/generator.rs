//! What asks: `wrk`, and `h2load` for HTTP/2.

use std::io;
use std::process::Command;
use std::time::Duration;

use crate::scenario::Traffic;

/// What the target has when every request was answered as it should be.
pub(crate) const ALL_WELL: &str = "no errors\n";

/// What the generator says.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) requests: u64,
    /// Of half of the requests and of 99 in 100, if it says so.
    pub(super) delay_ms: Option<(f64, f64)>,
    pub(super) errors: String,
}

/// Asks for `url` during this `time`.
pub(super) fn ask(url: &str, traffic: Traffic, time: Duration) -> io::Result<Answered> {
    if traffic.streams > 0 {
        return ask_in_streams(url, traffic, time);
    }
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--latency", "--timeout", "10s"]);
    command.args(["--connections", &traffic.connections.to_string()]);
    command.args(["--duration", &format!("{}s", time.as_secs())]);
    if traffic.close {
        command.args(["--header", "Connection: close"]);
    }
    said(command.arg(url), understand)
}

/// The same in HTTP/2.
fn ask_in_streams(url: &str, traffic: Traffic, time: Duration) -> io::Result<Answered> {
    let mut command = Command::new("h2load");
    command.args(["--threads", "1", "--clients", &traffic.connections.to_string()]);
    command.args(["--max-concurrent-streams", &traffic.streams.to_string()]);
    command.args(["--duration", &time.as_secs().to_string()]);
    said(command.arg(url), understand_streams)
}

fn said(command: &mut Command, understand: fn(&str) -> Option<Answered>) -> io::Result<Answered> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    understand(&text).ok_or_else(|| io::Error::other(format!("it said: {text}")))
}

fn understand(text: &str) -> Option<Answered> {
    let after = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let requests = line.split_whitespace().next()?.parse().ok()?;
    let is_error = |line: &&str| line.trim().starts_with("Socket errors") || line.trim().starts_with("Non-2xx");
    let errors: String = text
        .lines()
        .filter(is_error)
        .map(|line| line.trim().to_owned() + "\n")
        .collect();
    Some(Answered {
        requests,
        delay_ms: Some((millis(after("50%")?)?, millis(after("99%")?)?)),
        errors: if errors.is_empty() { ALL_WELL.into() } else { errors },
    })
}

fn millis(text: &str) -> Option<f64> {
    let text = text.trim();
    let (number, factor) = match text {
        text if text.ends_with("us") => (text.strip_suffix("us")?, 1e-3),
        text if text.ends_with("ms") => (text.strip_suffix("ms")?, 1.0),
        text => (text.strip_suffix('s')?, 1e3),
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// `h2load` tells how many succeeded, failed, and had which class of status.
fn understand_streams(text: &str) -> Option<Answered> {
    let after = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
    let count = |line: &str, what: &str| {
        let mut parts = line.split(',').filter_map(|part| part.trim().split_once(' '));
        parts.find_map(|(number, name)| (name == what).then(|| number.parse::<u64>().ok())?)
    };
    let (requests, statuses) = (after("requests: ")?, after("status codes: ")?);
    let well = count(statuses, "2xx")?;
    let is_well = ["failed", "errored", "timeout"]
        .iter()
        .all(|what| count(requests, what) == Some(0))
        && ["3xx", "4xx", "5xx"]
            .iter()
            .all(|class| count(statuses, class) == Some(0));
    Some(Answered {
        requests: well,
        delay_ms: None,
        errors: if is_well {
            ALL_WELL.into()
        } else {
            format!("{requests}\n{statuses}\n")
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 5s test @ http://127.0.0.1:1/\n  1 threads and 64 connections\n  Latency Distribution\n     50%  780.00us\n     99%    1.25ms\n  \
                        272601 requests in 5.10s, 60.31MB read\nRequests/sec:  53453.09\n";

    #[test]
    fn the_load_generator_is_understood() {
        let well = understand(SAID).unwrap();
        assert_eq!(
            well,
            Answered {
                requests: 272_601,
                delay_ms: Some((0.78, 1.25)),
                errors: ALL_WELL.into()
            }
        );
        let ill =
            format!("{SAID}  Socket errors: connect 0, read 3, write 0, timeout 0\n  Non-2xx or 3xx responses: 7\n");
        let errors = understand(&ill).unwrap().errors;
        assert_eq!(
            errors,
            "Socket errors: connect 0, read 3, write 0, timeout 0\nNon-2xx or 3xx responses: 7\n"
        );
        assert_eq!(understand("unable to connect"), None);
        assert_eq!(millis("1.50s"), Some(1500.0));
    }

    #[test]
    fn the_generator_of_streams_is_understood() {
        let said = |failed: u32, sick: u32| {
            understand_streams(&format!(
                "finished in 5.00s, 10 req/s\nrequests: 52 total, 52 started, 50 done, 50 succeeded, {failed} failed, 0 errored, 0 timeout\n\
                 status codes: 50 2xx, 0 3xx, 0 4xx, {sick} 5xx\n"
            ))
            .unwrap()
        };
        let well = said(0, 0);
        assert_eq!((well.requests, well.errors.as_str()), (50, ALL_WELL));
        for ill in [said(1, 0), said(0, 1)] {
            assert!(ill.errors.starts_with("52 total"), "{}", ill.errors);
        }
        assert_eq!(understand_streams("unable to connect"), None);
    }
}
