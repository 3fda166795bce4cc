//! Where records go. Each sink encodes a selection of a batch, sends it, and answers for every record.

mod document;
mod elasticsearch;
mod stdout;

use std::time::Duration;

use pod_contract::config::Setting;
use pod_contract::units::{HostPort, Url};

use crate::batch::Record;
use elasticsearch::Elasticsearch;
use stdout::Stdout;

/// A sink as typed, by scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Stdout,
    Elasticsearch { address: HostPort, index: String },
}

impl Setting for Target {
    const FORM: &'static str = "elasticsearch+http://HOST:PORT/INDEX or stdout";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "stdout" {
            return Ok(Self::Stdout);
        }
        let url = Url::with_scheme(text, &["elasticsearch+http"])?;
        let index = url.path.trim_matches('/').to_owned();
        // The rules of index names that show without asking; Elasticsearch knows the rest.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+".contains(c);
        if index.is_empty()
            || index.len() > 255
            || !index.chars().all(allowed)
            || index.starts_with(['-', '_', '+', '.'])
        {
            return Err(format!(
                "{index:?} is no index name: lower case letters, digits, and - _ . + after the first"
            ));
        }
        Ok(Self::Elasticsearch {
            address: url.address,
            index,
        })
    }
}

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Delivered,
    /// Not now: send it again, alone.
    Retry(String),
    /// Never: it goes to the dead-letter file.
    Reject(String),
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One verdict a record, in their order.
    Each(Vec<Verdict>),
    /// Nothing was taken: send all of it again, not before the given time.
    Later { why: String, after: Option<Duration> },
    /// The request is at fault: send it in halves. A single record that is too large is rejected; one that is refused for another reason,
    /// if the sink takes others.
    Smaller { why: String, too_large: bool },
}

/// The sink of the configuration. One worker owns one.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout(Stdout),
    Elasticsearch(Box<Elasticsearch>),
}

impl Sink {
    /// `request_timeout` is for a network sink to answer.
    pub(crate) fn new(target: &Target, request_timeout: Duration) -> Self {
        match target {
            Target::Stdout => Self::Stdout(Stdout::new()),
            Target::Elasticsearch { address, index } => {
                Self::Elasticsearch(Box::new(Elasticsearch::new(address, index, request_timeout)))
            }
        }
    }

    /// Requests that may be under way at once; records of a sink that keeps an order are sent one batch after the other.
    pub(crate) fn workers(target: &Target) -> usize {
        match target {
            Target::Stdout => 1,
            Target::Elasticsearch { .. } => 2,
        }
    }

    /// Is the sink there?
    pub(crate) async fn greet(&self) -> Result<(), String> {
        match self {
            Self::Stdout(_) => Ok(()),
            Self::Elasticsearch(sink) => sink.greet().await,
        }
    }

    /// Sends `records` once.
    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: std::time::SystemTime) -> Answer {
        match self {
            Self::Stdout(sink) => sink.send(records, read_at).await,
            Self::Elasticsearch(sink) => sink.send(records, read_at).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_are_named_by_scheme() {
        assert_eq!(Target::parse("stdout"), Ok(Target::Stdout));
        let Ok(Target::Elasticsearch { address, index }) = Target::parse("elasticsearch+http://es:9200/app") else {
            panic!()
        };
        assert_eq!((address.to_string().as_str(), index.as_str()), ("es:9200", "app"));
        for bad in [
            "",
            "es:9200",
            "http://es:9200/app",
            "elasticsearch+http://es:9200",
            "elasticsearch+http://es:9200/App",
            "elasticsearch+http://es/_x",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad:?}");
        }
    }
}
