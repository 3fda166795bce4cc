//! Names to addresses, as the files of the system say: hosts(5) first, then the name servers of resolv.conf(5) with its search list.
//!
//! The system's own resolver is not used: it blocks a thread for each question, has no deadline, and tells nothing of how long an answer
//! holds.

mod ask;
mod files;
mod message;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use ask::{Servers, ask};
use files::ResolvConf;
use message::{Family, Reply, question};

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Of either file; what is longer is no such file.
const MAX_FILE: u64 = 1 << 20;
/// What hosts(5) says holds until it is looked at again.
const HOSTS_TTL: Duration = Duration::from_secs(30);
/// With addresses of one family in hand, so long is waited for the other.
const OTHER_FAMILY: Duration = Duration::from_millis(500);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Sorted, at least one.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl: Duration,
}

/// Why a name stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    /// The name servers agree that there is nothing.
    #[error("{0}")]
    Nothing(&'static str),
    /// They could not be asked, or do not know.
    #[error("{0}")]
    Failed(String),
}

/// Asks for names. The files are read each time, so that a change counts.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    /// In the place of those in resolv.conf(5), when there are any.
    servers: Vec<SocketAddr>,
}

impl Resolver {
    pub(crate) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers }
    }

    /// The addresses of `host`. Takes as long as the name servers' patience, ten seconds unless resolv.conf(5) says otherwise.
    pub(crate) async fn lookup(&self, host: &str) -> Result<Found, Unknown> {
        let addresses = files::hosts(&read(HOSTS), host);
        if !addresses.is_empty() {
            return Ok(Found {
                addresses,
                ttl: HOSTS_TTL,
            });
        }
        let mut conf = ResolvConf::parse(&read(RESOLV_CONF));
        if !self.servers.is_empty() {
            conf.servers.clone_from(&self.servers);
        }
        let mut nothing = Unknown::Nothing("there is no such name");
        for name in conf.candidates(host) {
            match both_families(&conf, &name).await {
                Err(Unknown::Nothing(why)) => nothing = Unknown::Nothing(why),
                // A name further down the list must not take the place of one that could not be asked for.
                settled => return settled,
            }
        }
        Err(nothing)
    }
}

async fn both_families(conf: &ResolvConf, name: &str) -> Result<Found, Unknown> {
    let (v4, v6) = (one_family(conf, name, Family::V4), one_family(conf, name, Family::V6));
    tokio::pin!(v4, v6);
    let (first, other) = tokio::select! {
        first = &mut v4 => (first, v6),
        first = &mut v6 => (first, v4),
    };
    let has_some = matches!(&first, Ok(Reply::Addresses(addresses, _)) if !addresses.is_empty());
    let other = if has_some {
        timeout(OTHER_FAMILY, other)
            .await
            .unwrap_or_else(|_| Err("no answer in time".into()))
    } else {
        other.await
    };
    join(first, other)
}

/// Some servers fail for a family that they do not know, so one answer is enough.
fn join(first: Result<Reply, String>, other: Result<Reply, String>) -> Result<Found, Unknown> {
    let (mut found, mut failed, mut no_name) = (Vec::new(), None, false);
    let mut ttl = Duration::MAX;
    for reply in [first, other] {
        match reply {
            Ok(Reply::Addresses(addresses, _)) if addresses.is_empty() => {}
            Ok(Reply::Addresses(addresses, holds)) => {
                found.extend(addresses);
                ttl = ttl.min(holds);
            }
            Ok(Reply::NoSuchName) => no_name = true,
            Ok(Reply::Truncated) => failed = Some("the answer is too long".to_owned()),
            Ok(Reply::Failed(why)) => failed = Some(why.to_owned()),
            Err(why) => failed = Some(why),
        }
    }
    found.sort_unstable();
    match failed {
        _ if !found.is_empty() => Ok(Found { addresses: found, ttl }),
        Some(why) => Err(Unknown::Failed(why)),
        None if no_name => Err(Unknown::Nothing("there is no such name")),
        None => Err(Unknown::Nothing("the name has no address")),
    }
}

async fn one_family(conf: &ResolvConf, name: &str, family: Family) -> Result<Reply, String> {
    let question = question(fastrand::u16(..), name, family).ok_or("it is no name that can be asked for")?;
    let servers = Servers {
        addresses: &conf.servers,
        timeout: conf.timeout,
        attempts: conf.attempts,
    };
    let started = Instant::now();
    let reply = ask(servers, &question).await;
    tracing::debug!(name, ?family, ?reply, took = ?started.elapsed(), "asked for a name");
    reply
}

/// A file that is not there says nothing.
fn read(path: &str) -> String {
    let is_small = |path: &Path| path.metadata().is_ok_and(|data| data.len() <= MAX_FILE);
    Some(Path::new(path))
        .filter(|path| is_small(path))
        .and_then(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_is_enough_and_a_failure_is_no_absence() {
        let some = |text: &str| Ok(Reply::Addresses(vec![text.parse().unwrap()], Duration::from_secs(9)));
        let none = || Ok(Reply::Addresses(Vec::new(), Duration::MAX));
        let failed = || Err("no answer".to_owned());
        let found = |texts: &[&str]| {
            Ok(Found {
                addresses: texts.iter().map(|text| text.parse().unwrap()).collect(),
                ttl: Duration::from_secs(9),
            })
        };
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        assert_eq!(join(some(v6), some(v4)), found(&[v4, v6]));
        assert_eq!(join(some(v4), failed()), found(&[v4]));
        assert_eq!(join(none(), some(v6)), found(&[v6]));
        assert_eq!(join(failed(), none()), Err(Unknown::Failed("no answer".into())));
        assert_eq!(
            join(Ok(Reply::NoSuchName), failed()),
            Err(Unknown::Failed("no answer".into()))
        );
        assert_eq!(
            join(Ok(Reply::NoSuchName), Ok(Reply::NoSuchName)),
            Err(Unknown::Nothing("there is no such name"))
        );
        assert_eq!(join(none(), none()), Err(Unknown::Nothing("the name has no address")));
    }
}
