//! What can be waited for.

use std::fmt;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use pod_contract::config::Setting;
use pod_contract::net::dial;
use pod_contract::units::{HostPort, Url};

use crate::fetch::{Client, Problem, Request, WebUrl};

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);
/// Of a body, as far as it is searched.
const MAX_BODY: u64 = 1 << 20;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Somebody accepts connections.
    Tcp(HostPort),
    /// The name has an address.
    Dns(String),
    /// The file or directory exists.
    File(PathBuf),
    /// The answer has one of the statuses, and the text in its body.
    Http {
        url: WebUrl,
        statuses: Vec<RangeInclusive<u16>>,
        body: Option<String>,
    },
}

impl Setting for Condition {
    const FORM: &'static str = "tcp://HOST:PORT, http(s)://HOST/PATH with #status=200-299&body=TEXT behind it if wanted, dns://NAME, or file:PATH";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            return PathBuf::parse(path).map(Self::File);
        }
        match text.split_once("://") {
            Some(("dns", name)) if !name.is_empty() && !name.contains(['/', ':']) => Ok(Self::Dns(name.to_owned())),
            Some(("dns", _)) => Err("it is no name".into()),
            Some(("tcp", _)) => Url::with_scheme(text, &["tcp"]).map(|url| Self::Tcp(url.address)),
            Some(("http" | "https", _)) => http(text),
            _ => Err("it has none of these forms".into()),
        }
    }
}

fn http(text: &str) -> Result<Condition, String> {
    let (url, wanted) = text.split_once('#').unwrap_or((text, ""));
    let (mut statuses, mut body) = (Vec::new(), None);
    for part in wanted.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("status", list)) => {
                for range in list.split(',') {
                    statuses.push(
                        status_range(range).ok_or_else(|| format!("{range:?} is no status or range of statuses"))?,
                    );
                }
            }
            Some(("body", text)) => {
                body = Some(
                    percent_encoding::percent_decode_str(text)
                        .decode_utf8_lossy()
                        .into_owned(),
                );
            }
            _ => return Err(format!("{part:?} is neither status=… nor body=…")),
        }
    }
    if statuses.is_empty() {
        statuses.push(200..=299);
    }
    Ok(Condition::Http {
        url: url.parse()?,
        statuses,
        body,
    })
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let range = from.parse().ok()?..=to.parse().ok()?;
    (!range.is_empty() && *range.start() >= 100 && *range.end() <= 599).then_some(range)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Dns(name) => write!(f, "dns://{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http { url, .. } => url.fmt(f),
        }
    }
}

impl Condition {
    /// Does it hold? The error says why not.
    pub(super) fn check(&self, client: &Client) -> Result<(), String> {
        let limit = client
            .deadline()
            .left()
            .map_or(LOOK, |left| left.min(LOOK))
            .max(Duration::from_millis(1));
        match self {
            Self::Tcp(address) => dial::connect(address, limit).map(drop).map_err(|e| e.to_string()),
            Self::Dns(name) => {
                let name = HostPort {
                    host: name.clone(),
                    port: 0,
                };
                dial::resolve(&name, limit).map(drop).map_err(|e| e.to_string())
            }
            Self::File(path) => std::fs::metadata(path).map(drop).map_err(|e| e.to_string()),
            Self::Http { url, statuses, body } => ask(client, url, statuses, body.as_deref()),
        }
    }
}

fn ask(client: &Client, url: &WebUrl, statuses: &[RangeInclusive<u16>], body: Option<&str>) -> Result<(), String> {
    let request = Request {
        url,
        headers: &[],
        authorization: None,
    };
    let answer = client.get(&request).map_err(|problem| match problem {
        Problem::Passing { why, .. } | Problem::Final(why) => why.cause,
    })?;
    let status = answer.status();
    if !statuses.iter().any(|range| range.contains(&status)) {
        return Err(format!("it answers {status}"));
    }
    let Some(wanted) = body else { return Ok(()) };
    let mut found = Vec::new();
    answer
        .response
        .into_body()
        .into_reader()
        .take(MAX_BODY)
        .read_to_end(&mut found)
        .map_err(|e| e.to_string())?;
    if String::from_utf8_lossy(&found).contains(wanted) {
        Ok(())
    } else {
        Err(format!("it answers {status} without {wanted:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_urls() {
        for (text, shown) in [
            ("tcp://db:5432", "tcp://db:5432"),
            ("dns://db.example", "dns://db.example"),
            ("file:/ready", "file:/ready"),
            ("http://h/x?token=1#status=200,204-206&body=%22UP%22", "http://h/x?…"),
        ] {
            assert_eq!(Condition::parse(text).unwrap().to_string(), shown);
        }
        let Condition::Http { statuses, body, .. } =
            Condition::parse("http://h/#status=200,204-206&body=%22UP%22").unwrap()
        else {
            panic!()
        };
        assert_eq!(
            (statuses, body.as_deref()),
            (vec![200..=200, 204..=206], Some("\"UP\""))
        );
        for bad in [
            "db:5432",
            "tcp://db",
            "dns://",
            "dns://a:1",
            "file:",
            "http://h/#x=1",
            "http://h/#status=99",
            "http://h/#status=300-200",
            "udp://h:1",
        ] {
            assert!(Condition::parse(bad).is_err(), "{bad}");
        }
    }
}
