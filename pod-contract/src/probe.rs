//! A probe without a shell: is a neighbour well? Blocking, one try, with a deadline.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};

use crate::config::Setting;
use crate::net::dial;
use crate::start::exit::{self, Failure};
use crate::units::{HostPort, Url};

const MAX_HEAD: usize = 8192;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `GET` answers with a status from 200 to 399, as for a kubelet's `httpGet` probe.
    Http(Url),
    /// The port accepts a connection.
    Tcp(HostPort),
    /// The file exists.
    File(PathBuf),
}

impl Setting for Target {
    const FORM: &'static str = "http://HOST:PORT/PATH, tcp://HOST:PORT or file:PATH";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            return PathBuf::parse(path.strip_prefix("//").unwrap_or(path)).map(Self::File);
        }
        let url = Url::with_scheme(text, &["http", "tcp"])?;
        Ok(if url.scheme == "tcp" {
            Self::Tcp(url.address)
        } else {
            Self::Http(url)
        })
    }
}

impl Target {
    /// Asks once; the error says what was found instead.
    pub fn probe(&self, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        match self {
            Self::File(path) => path.metadata().map(drop).map_err(|e| e.to_string()),
            Self::Tcp(address) => dial::connect(address, timeout).map(drop).map_err(|e| e.to_string()),
            Self::Http(url) => {
                let status = get_status(url, deadline)?;
                if (200..400).contains(&status) {
                    Ok(())
                } else {
                    Err(format!("answered with status {status}"))
                }
            }
        }
    }
}

/// The status of the answer; its head may have at most 8 KiB up to there, its body is not read.
fn get_status(url: &Url, deadline: Instant) -> Result<u16, String> {
    let head = get_head(url, deadline, |head| head.contains(&b'\n'))?;
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    status_of(line).ok_or_else(|| "the answer is not HTTP".to_owned())
}

/// What calls itself a server at `address`, such as `log-sidecar/0.1.0`; `None` when nothing there does in time.
#[cfg(feature = "sidecar")]
pub(crate) fn server(address: &HostPort, timeout: Duration) -> Option<String> {
    let url = Url {
        scheme: "http".into(),
        address: address.clone(),
        path: "/healthz".into(),
    };
    let whole = |head: &[u8]| head.windows(4).any(|end| end == b"\r\n\r\n");
    let head = get_head(&url, Instant::now() + timeout, whole).ok()?;
    let head = String::from_utf8_lossy(&head);
    let fields = head.lines().skip(1).take_while(|line| !line.is_empty());
    let mut named = fields.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("server").then(|| value.trim().to_owned())
    });
    named
        .next()
        .filter(|name| name.len() < 80 && name.chars().all(|c| c.is_ascii_graphic() || c == ' '))
}

/// The beginning of the answer, until it is `enough`, at its end, or 8 KiB long.
fn get_head(url: &Url, deadline: Instant, enough: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, String> {
    let mut stream = dial::connect(&url.address, left(deadline)?).map_err(|e| e.to_string())?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: probe\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        url.path, url.address
    );
    stream
        .set_write_timeout(Some(left(deadline)?))
        .map_err(|e| e.to_string())?;
    stream.write_all(request.as_bytes()).map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    let mut block = [0; 1024];
    while head.len() < MAX_HEAD && !enough(&head) {
        stream
            .set_read_timeout(Some(left(deadline)?))
            .map_err(|e| e.to_string())?;
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&block[..count]),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => return Err("timed out".into()),
            Err(e) => return Err(e.to_string()),
        }
    }
    if enough(&head) {
        Ok(head)
    } else {
        Err("the answer is not HTTP".into())
    }
}

fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let code = rest.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

fn left(deadline: Instant) -> Result<Duration, String> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err("timed out".into()),
        left => Ok(left),
    }
}

/// The subcommand.
pub(crate) fn command() -> Command {
    Command::new("probe")
        .about("Ask one target and exit 0 if it is well: an exec probe that needs no shell")
        .arg(
            Arg::new("target")
                .value_name("URL")
                .required(true)
                .help("http://HOST:PORT/PATH (200 to 399), tcp://HOST:PORT (connects) or file:PATH (exists)"),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .value_name("DURATION")
                .help("Give up after [default: 1s]"),
        )
}

/// Asks once what the command line says.
pub(crate) fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let usage = |message: String| Failure::new(exit::USAGE, message);
    let text = matches.get_one::<String>("target").map_or("", String::as_str);
    let target =
        Target::parse(text).map_err(|e| usage(format!("{text:?} is not valid: {e}; expected {}", Target::FORM)))?;
    let timeout = match matches.get_one::<String>("timeout") {
        Some(text) => {
            Duration::parse(text).map_err(|e| usage(format!("--timeout {text:?}: {e}; expected {}", Duration::FORM)))?
        }
        None => Duration::from_secs(1),
    };
    target
        .probe(timeout)
        .map_err(|why| Failure::failed(format!("{text}: {why}")))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that answers every connection with `answer`; returns its address.
    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 512];
                let count = stream.read(&mut request).unwrap();
                assert!(request[..count].starts_with(b"GET /x HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    fn probe(target: &str) -> Result<(), String> {
        Target::parse(target).unwrap().probe(Duration::from_secs(5))
    }

    #[test]
    fn http_is_well_from_200_to_399() {
        for (status, well) in [(199, false), (200, true), (399, true), (400, false), (503, false)] {
            let answer = format!("HTTP/1.1 {status} Any\r\nContent-Length: 0\r\n\r\n").leak();
            assert_eq!(probe(&format!("http://{}/x", server(answer))).is_ok(), well, "{status}");
        }
    }

    #[test]
    fn garbage_silence_and_refusal_are_told_apart() {
        assert_eq!(
            probe(&format!("http://{}/x", server("SSH-2.0-x\r\n"))),
            Err("the answer is not HTTP".into())
        );
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let target = Target::parse(&format!("http://{address}/")).unwrap();
        assert_eq!(target.probe(Duration::from_millis(50)), Err("timed out".into()));
        probe(&format!("tcp://{address}")).unwrap();
        drop(silent);
        assert!(probe(&format!("tcp://{address}")).unwrap_err().contains("refused"));
    }

    #[test]
    fn a_file_has_to_exist() {
        let file = tempfile::NamedTempFile::new().unwrap();
        probe(&format!("file:{}", file.path().display())).unwrap();
        probe(&format!("file://{}", file.path().display())).unwrap();
        probe("file:/nonexistent").unwrap_err();
    }
}
