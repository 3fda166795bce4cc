//! The addresses of a name, kept up to date by one task, whoever uses them.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::dns::{Found, Resolver, Unknown};
use super::route::reachable;
use crate::policy::refresh::{Ended, Refresh};

/// One name.
#[derive(Debug)]
pub(crate) struct Name {
    host: String,
    addresses: RefCell<Rc<[IpAddr]>>,
    /// Counts the changes of `addresses`.
    version: Cell<u64>,
    /// Why there was no answer the last time.
    why: RefCell<Option<String>>,
    refresh: RefCell<Refresh>,
    /// A look-up is under way, or about to begin.
    looking: Cell<bool>,
    /// A look-up has ended.
    looked: Notify,
    doubted: Notify,
}

impl Name {
    pub(super) fn new(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            addresses: RefCell::new(Rc::new([])),
            version: Cell::new(0),
            why: RefCell::default(),
            refresh: RefCell::default(),
            looking: Cell::new(true),
            looked: Notify::new(),
            doubted: Notify::new(),
        }
    }

    /// The last good addresses, sorted.
    pub(super) fn addresses(&self) -> Rc<[IpAddr]> {
        Rc::clone(&self.addresses.borrow())
    }

    pub(super) fn version(&self) -> u64 {
        self.version.get()
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Why it stands for nothing; none while it does, or is being asked for the first time.
    pub(super) fn why_unknown(&self) -> Option<String> {
        self.why.borrow().clone()
    }

    /// Is it being asked for?
    pub(super) fn is_looking(&self) -> bool {
        self.looking.get()
    }

    /// Waits for the end of a look-up.
    pub(super) async fn looked(&self) {
        self.looked.notified().await;
    }

    /// A connection to one of its addresses failed: they may be out of date.
    pub(super) fn doubt(&self) {
        if self.refresh.borrow().may_doubt(Instant::now()) {
            // Who is asking already is not told.
            self.looking.set(true);
            self.doubted.notify_waiters();
        }
    }

    /// Asks for it again and again, one look-up at a time.
    pub(crate) async fn keep(&self, resolver: &Resolver) {
        loop {
            self.looking.set(true);
            let answer = resolver.lookup(&self.host).await.map(|found| Found {
                addresses: reachable(found.addresses),
                ..found
            });
            let pause = self.learn(answer);
            self.looking.set(false);
            self.looked.notify_waiters();
            tokio::select! {
                () = sleep(pause) => {}
                () = self.doubted.notified() => {}
            }
        }
    }

    /// Takes over an answer; how long it holds.
    fn learn(&self, answer: Result<Found, Unknown>) -> std::time::Duration {
        let ended = match &answer {
            Ok(found) => Ended::Found { ttl: found.ttl },
            Err(Unknown::Nothing(_)) => Ended::Nothing,
            Err(Unknown::Failed(_)) => Ended::Failed,
        };
        let has_some = !self.addresses.borrow().is_empty();
        let plan = self
            .refresh
            .borrow_mut()
            .plan(ended, has_some, Instant::now(), fastrand::f64());
        match answer {
            Ok(mut found) => {
                if let Some(family) = found.unheard {
                    found
                        .addresses
                        .extend(self.addresses.borrow().iter().filter(|address| family.has(address)));
                    found.addresses.sort_unstable();
                }
                if self.why.take().is_some() && has_some {
                    tracing::info!(name = self.host, "the name is known again");
                }
                self.set(&found.addresses);
            }
            Err(why) => {
                let why = why.to_string();
                if self.why.borrow().as_ref() != Some(&why) {
                    match self.addresses.borrow().len() {
                        0 => tracing::warn!(name = self.host, why, "cannot resolve"),
                        kept => {
                            tracing::warn!(
                                name = self.host,
                                why,
                                kept,
                                "cannot resolve; the last good addresses are kept"
                            );
                        }
                    }
                }
                if plan.forget && has_some {
                    tracing::warn!(name = self.host, why, "the name is gone; its addresses are given up");
                    self.set(&[]);
                }
                self.why.replace(Some(why));
            }
        }
        plan.pause
    }

    fn set(&self, addresses: &[IpAddr]) {
        if **self.addresses.borrow() != *addresses {
            tracing::info!(name = self.host, ?addresses, "resolved");
            self.addresses.replace(addresses.into());
            self.version.set(self.version.get() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::dns::Family;
    use super::*;

    fn found(last: &[u8]) -> Result<Found, Unknown> {
        Ok(Found {
            addresses: last.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect(),
            ttl: Duration::from_secs(5),
            unheard: None,
        })
    }

    #[test]
    fn a_family_of_which_nothing_is_heard_stays_as_it_was() {
        let name = Name::new("es.example");
        let (v4, v6): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let found = |addresses: &[IpAddr], unheard| {
            name.learn(Ok(Found {
                addresses: addresses.to_vec(),
                ttl: Duration::from_secs(5),
                unheard,
            }));
            name.addresses().to_vec()
        };
        assert_eq!(found(&[v4, v6], None), [v4, v6]);
        assert_eq!(found(&[v4], Some(Family::V6)), [v4, v6]);
        assert_eq!(found(&[v4], None), [v4]);
    }

    #[test]
    fn the_last_good_addresses_survive_a_failure() {
        let name = Name::new("es.example");
        name.learn(Err(Unknown::Failed("no answer".into())));
        assert_eq!((name.version(), name.why_unknown().as_deref()), (0, Some("no answer")));
        name.learn(found(&[1, 2]));
        assert_eq!((name.version(), name.why_unknown()), (1, None));
        name.learn(found(&[1, 2]));
        name.learn(Err(Unknown::Nothing("there is no such name")));
        assert_eq!(name.version(), 1, "nothing has changed");
        assert_eq!(name.addresses().len(), 2);
        name.learn(found(&[2]));
        assert_eq!((name.version(), name.addresses().len()), (2, 1));
    }
}
