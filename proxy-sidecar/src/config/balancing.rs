//! How an endpoint is chosen.

use std::time::Duration;

use pod_contract::config::{Flag, Setting, Settings, Word, setting};

use super::service::Protocol;
use super::words::is_token_byte;
use crate::message::head::HashBy;

/// The policy of a service.
#[derive(Debug, Clone)]
pub(crate) struct Balancing {
    pub(crate) how: Balance,
    /// Until one that is new, or back, has its whole share.
    pub(crate) slow_start: Duration,
}

/// How one of those that are well is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The one that answers sooner, of two random ones.
    PeakEwma,
    /// The less loaded of two random ones.
    Least,
    /// One after the other.
    RoundRobin,
    /// The one that a part of the request belongs to.
    Hash,
    /// Always the same one, while it is well.
    Sticky,
}

impl Word for Balance {
    const FORM: &'static str = "least, peak-ewma, round-robin, hash or sticky";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("peak-ewma", Self::PeakEwma),
        ("least", Self::Least),
        ("round-robin", Self::RoundRobin),
        ("hash", Self::Hash),
        ("sticky", Self::Sticky),
    ];
}

impl Setting for HashBy {
    const FORM: &'static str = "header:NAME, cookie:NAME or path";

    fn parse(text: &str) -> Result<Self, String> {
        let is_token = |name: &str| !name.is_empty() && name.bytes().all(is_token_byte);
        match text.split_once(':') {
            None if text == "path" => Ok(Self::Path),
            Some(("header", name)) if is_token(name) => Ok(Self::Header(name.to_owned())),
            Some(("cookie", name)) if is_token(name) => Ok(Self::Cookie(name.to_owned())),
            Some(("header" | "cookie", _)) => Err("that is no name".into()),
            _ => Err("it is none of these".into()),
        }
    }
}

pub(super) fn flags() -> Vec<Flag> {
    vec![
        setting::<Balance>(
            "balance",
            "HOW",
            "least (who has fewer requests, of two random endpoints), peak-ewma (who answers sooner, of two), round-robin, hash (see hash-by) or sticky (one, while it is well) [default: least; of what is not HTTP: sticky]",
        ),
        setting::<HashBy>(
            "hash-by",
            "PART",
            "With balance hash, what has the same endpoint as long as that is well: cookie:NAME, or header:NAME or path, which may go to the next one while that has far more to do than others; requests without it go by least",
        ),
        setting::<Duration>(
            "slow-start",
            "DURATION",
            "An endpoint that is new, or back, gets a tenth of its share at first, and all of it after [default: 0s]",
        ),
    ]
}

/// What was said, before it is known of which protocol.
pub(super) struct Said {
    how: Option<Balance>,
    /// What of a request is hashed.
    pub(super) hash_by: Option<HashBy>,
    slow_start: Option<Duration>,
}

impl Said {
    pub(super) fn read(s: &mut Settings<'_>) -> Option<Self> {
        let (how, hash_by, slow_start) = (s.optional("balance"), s.optional("hash-by"), s.optional("slow-start"));
        Some(Self {
            how: how?,
            hash_by: hash_by?,
            slow_start: slow_start?,
        })
    }
}

impl Balancing {
    pub(super) fn prove(name: &str, protocol: Protocol, said: &Said, s: &mut Settings<'_>) -> Option<Self> {
        let how = said.how.unwrap_or(match protocol {
            Protocol::Http | Protocol::Http2 => Balance::Least,
            Protocol::Tcp | Protocol::Postgres => Balance::Sticky,
        });
        let why = match how {
            Balance::PeakEwma | Balance::Hash if !protocol.has_requests() => Some(format!(
                "the endpoints of service {name} carry bytes, and no requests: balance has to be least, round-robin or sticky"
            )),
            Balance::Hash if said.hash_by.is_none() => Some(format!(
                "balance hash of service {name} needs hash-by: header:NAME, cookie:NAME or path"
            )),
            _ => None,
        };
        let fits = why.map_or(Some(()), |why| s.refuse_together(&["balance"], why));
        if how != Balance::Hash {
            s.pointless("hash-by", "balance is not hash");
        }
        if matches!(how, Balance::Hash | Balance::Sticky) {
            s.pointless("slow-start", "an endpoint has what belongs to it, and no share");
        }
        fits.map(|()| Self {
            how,
            slow_start: said.slow_start.unwrap_or_default(),
        })
    }

    /// One endpoint at a time, as long as it is there.
    pub(super) fn sticky() -> Self {
        Self {
            how: Balance::Sticky,
            slow_start: Duration::ZERO,
        }
    }
}
