//! Names to addresses, as the files of the system say: hosts(5) first, then the name servers of resolv.conf(5) with its search list.
//!
//! The system's own resolver is not used: it blocks a thread for each question, has no deadline, and tells nothing of how long an answer
//! holds.

mod ask;
mod files;
mod message;

pub(crate) mod fuzzing {
    //! See `crate::fuzzing`.

    use super::message::{Family, MAX_ADDRESSES, Reply, question, understand};

    pub(crate) fn answers(data: &[u8]) {
        let question = question(0x6162, "es.example.", Family::V4).expect("it is a name");
        if let Some(Reply::Addresses(found, _)) = understand(&question, data) {
            assert!(found.len() <= MAX_ADDRESSES && found.is_sorted_by(|a, b| a < b));
        }
    }
}

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use ask::{NoAnswer, Servers, ask};
use files::ResolvConf;
pub(crate) use message::Family;
use message::{Reply, question};

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
    /// Of these nothing was heard: what was known of them holds.
    pub(crate) unheard: Option<Family>,
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
    pub(crate) fn new(mut servers: Vec<SocketAddr>) -> Self {
        once_each(&mut servers);
        Self { servers }
    }

    /// The addresses of `host`. Takes as long as the name servers' patience, ten seconds unless resolv.conf(5) says otherwise.
    pub(crate) async fn lookup(&self, host: &str) -> Result<Found, Unknown> {
        let addresses = files::hosts(&read(HOSTS), host);
        if !addresses.is_empty() {
            return Ok(Found {
                addresses,
                ttl: HOSTS_TTL,
                unheard: None,
            });
        }
        let mut conf = ResolvConf::parse(&read(RESOLV_CONF));
        if self.servers.is_empty() {
            once_each(&mut conf.servers);
        } else {
            conf.servers.clone_from(&self.servers);
        }
        let mut unknown = Unknown::Nothing("there is no such name");
        for name in conf.candidates(host) {
            match both_families(&conf, &name).await {
                Ok(found) => return Ok(found),
                Err(Missing::Nothing(why)) if matches!(unknown, Unknown::Nothing(_)) => unknown = Unknown::Nothing(why),
                Err(Missing::Nothing(_)) => {}
                // As glibc does it: one whose server cannot tell is passed over, but then it is not known that there is nothing.
                Err(Missing::Unsure(NoAnswer::Refused(why))) => unknown = Unknown::Failed(why),
                Err(Missing::Unsure(NoAnswer::Silence(why))) => return Err(Unknown::Failed(why)),
            }
        }
        Err(unknown)
    }
}

/// Why one name has no addresses.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    Nothing(&'static str),
    Unsure(NoAnswer),
}

fn once_each(servers: &mut Vec<SocketAddr>) {
    let mut seen = Vec::new();
    servers.retain(|server| {
        let is_new = !seen.contains(server);
        seen.push(*server);
        is_new
    });
}

async fn both_families(conf: &ResolvConf, name: &str) -> Result<Found, Missing> {
    let (v4, v6) = (one_family(conf, name, Family::V4), one_family(conf, name, Family::V6));
    tokio::pin!(v4, v6);
    let (first, other) = tokio::select! {
        first = &mut v4 => (first, v6),
        first = &mut v6 => (first, v4),
    };
    // There is no such name for either family, or there is enough to begin with: RFC 8020, section 2.
    let is_enough = match &first.1 {
        Ok(Reply::Addresses(addresses, _)) => !addresses.is_empty(),
        Ok(Reply::NoSuchName) => true,
        _ => false,
    };
    let late = Err(NoAnswer::Silence("no answer in time".into()));
    let other = if is_enough {
        timeout(OTHER_FAMILY, other).await.unwrap_or((first.0.other(), late))
    } else {
        other.await
    };
    join(first, other)
}

type OfFamily = (Family, Result<Reply, NoAnswer>);

/// Some servers fail for a family that they do not know, so one answer is enough.
fn join(first: OfFamily, other: OfFamily) -> Result<Found, Missing> {
    let (mut found, mut unsure, mut no_name) = (Vec::new(), None, false);
    let (mut ttl, mut unheard) = (Duration::MAX, None);
    for (family, reply) in [first, other] {
        match reply {
            Ok(Reply::Addresses(addresses, _)) if addresses.is_empty() => {}
            Ok(Reply::Addresses(addresses, holds)) => {
                found.extend(addresses);
                ttl = ttl.min(holds);
            }
            Ok(Reply::NoSuchName) => no_name = true,
            Ok(Reply::Truncated | Reply::Failed(_)) => {}
            Err(why) => (unsure, unheard) = (Some(why), Some(family)),
        }
    }
    found.sort_unstable();
    match unsure {
        _ if !found.is_empty() => Ok(Found {
            addresses: found,
            ttl,
            unheard,
        }),
        _ if no_name => Err(Missing::Nothing("there is no such name")),
        Some(why) => Err(Missing::Unsure(why)),
        None => Err(Missing::Nothing("the name has no address")),
    }
}

async fn one_family(conf: &ResolvConf, name: &str, family: Family) -> OfFamily {
    let Some(question) = question(fastrand::u16(..), name, family) else {
        // One that is too long with a suffix is still to be asked for without.
        return (family, Ok(Reply::NoSuchName));
    };
    let servers = Servers {
        addresses: &conf.servers,
        timeout: conf.timeout,
        attempts: conf.attempts,
    };
    let started = Instant::now();
    let reply = ask(servers, &question).await;
    tracing::debug!(name, ?family, ?reply, took = ?started.elapsed(), "asked for a name");
    (family, reply)
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
        let some = |text: &str| {
            let addresses = vec![text.parse().unwrap()];
            Ok(Reply::Addresses(addresses, Duration::from_secs(9)))
        };
        let none = || Ok(Reply::Addresses(Vec::new(), Duration::MAX));
        let silence = || NoAnswer::Silence("no answer".to_owned());
        let failed = || Err(silence());
        let found = |texts: &[&str], unheard| {
            Ok(Found {
                addresses: texts.iter().map(|text| text.parse().unwrap()).collect(),
                ttl: Duration::from_secs(9),
                unheard,
            })
        };
        let join = |v4, v6| join((Family::V4, v4), (Family::V6, v6));
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        assert_eq!(join(some(v4), some(v6)), found(&[v4, v6], None));
        assert_eq!(join(some(v4), failed()), found(&[v4], Some(Family::V6)));
        assert_eq!(join(none(), some(v6)), found(&[v6], None));
        assert_eq!(join(failed(), none()), Err(Missing::Unsure(silence())));
        let no_name = || Err(Missing::Nothing("there is no such name"));
        assert_eq!(join(Ok(Reply::NoSuchName), failed()), no_name(), "for whatever family");
        assert_eq!(join(Ok(Reply::NoSuchName), Ok(Reply::NoSuchName)), no_name());
        assert_eq!(join(none(), none()), Err(Missing::Nothing("the name has no address")));
    }

    #[test]
    fn a_server_that_is_named_twice_is_one() {
        let servers = ["192.0.2.1:53", "192.0.2.2:53", "192.0.2.1:53"];
        let resolver = Resolver::new(servers.map(|server| server.parse().unwrap()).to_vec());
        assert_eq!(resolver.servers.len(), 2);
    }
}
