//! What one request has been through, and what may be done next. No I/O, no sockets: whatever carries requests drives it.

use std::fmt::Display;

use crate::policy::balance::{Key, Rank};
use crate::policy::breaker::Standing;
use crate::policy::budget::RetryBudget;
use crate::policy::retry::{Proof, may_repeat};
use crate::respond::{Error, Reason};

/// Of what was sent, so much is kept at most until the endpoint answers, in bytes.
pub(crate) const KEPT: usize = 64 << 10;

/// One request on its way to some endpoint.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What decides where it goes.
    pub(crate) key: Option<Key>,
    idempotent: bool,
    /// All of it can be kept, and sent again.
    is_small: bool,
    retries: u32,
    tries: Vec<Try>,
    /// Why the last try that was sent came to nothing.
    broken: Option<Error>,
}

#[derive(Debug)]
struct Try {
    endpoint: u64,
    label: String,
    why: String,
    reason: Reason,
    /// To it, at least in part.
    was_sent: bool,
    /// Another one may end otherwise.
    again: bool,
}

/// A try that was sent, at least in part, and failed before its answer.
#[derive(Debug)]
pub(crate) struct Failed<'f> {
    pub(crate) endpoint: u64,
    pub(crate) label: &'f str,
    /// On a connection that had been kept: that says little of the endpoint.
    pub(crate) reused: bool,
    /// All that was sent can be sent again.
    pub(crate) in_hand: bool,
    pub(crate) proof: Proof,
    pub(crate) error: Error,
}

/// What follows from a failure.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// On a new connection: a kept one may have been closed in the very moment, a new one tells the truth.
    Again,
    Over {
        error: Error,
        /// It would have been tried again, had the budget allowed it.
        denied: bool,
    },
}

impl Exchange {
    /// `is_small`: all of it can be kept until there is an answer; `retries`: how often it may be sent again at most.
    pub(crate) fn new(idempotent: bool, is_small: bool, retries: u32) -> Self {
        Self {
            key: None,
            idempotent,
            is_small,
            retries,
            tries: Vec::new(),
            broken: None,
        }
    }

    /// Where `endpoint` stands for this request.
    pub(crate) fn rank(&self, endpoint: u64, standing: Standing) -> Rank {
        match self.tries.iter().rfind(|tried| tried.endpoint == endpoint) {
            _ if standing == Standing::Barred => Rank::Never,
            Some(tried) if tried.again && standing == Standing::Unfit => Rank::UnfitAgain,
            Some(tried) if tried.again => Rank::Again,
            Some(_) => Rank::Never,
            None => match standing {
                Standing::Well => Rank::Well,
                Standing::Due { .. } => Rank::Due,
                Standing::Out => Rank::Out,
                Standing::Unfit => Rank::Unfit,
                Standing::Barred => Rank::Never,
            },
        }
    }

    /// Should it fail, it can be sent again: it may be the one that tells whether an endpoint is back.
    pub(crate) fn may_probe(&self, budget: &RetryBudget) -> bool {
        self.tries.is_empty() && self.can_repeat(budget)
    }

    /// Should it fail before there is an answer, it can be sent again.
    pub(crate) fn can_repeat(&self, budget: &RetryBudget) -> bool {
        self.idempotent && self.is_small && self.retries > 0 && budget.has_some()
    }

    /// Nobody has been asked yet.
    pub(crate) fn is_new(&self) -> bool {
        self.tries.is_empty() && self.broken.is_none()
    }

    /// There was no connection. Nothing was sent: every endpoint may be asked, whatever the method.
    pub(crate) fn unreached(&mut self, endpoint: u64, label: &str, reason: Reason, why: &dyn Display) {
        self.tries.push(Try {
            endpoint,
            label: label.to_owned(),
            why: why.to_string(),
            reason,
            was_sent: false,
            again: false,
        });
    }

    /// Those that could not be reached may be asked again.
    pub(crate) fn forget_unreached(&mut self) {
        self.tries.retain(|tried| tried.was_sent);
    }

    /// A try failed.
    pub(crate) fn failed(&mut self, failed: Failed<'_>, budget: &RetryBudget) -> Verdict {
        let over = |error, denied| Verdict::Over { error, denied };
        let Failed { error, reused, .. } = failed;
        if !may_repeat(failed.proof, self.idempotent, failed.in_hand) {
            return over(error, false);
        }
        let Some(left) = self.retries.checked_sub(1) else {
            return over(error, false);
        };
        // What it did not send is no load.
        if failed.proof != Proof::NotSent && !budget.withdraw() {
            return over(error, true);
        }
        self.retries = left;
        if !reused {
            let is_first = !self.tries.iter().any(|tried| tried.endpoint == failed.endpoint);
            self.tries.push(Try {
                endpoint: failed.endpoint,
                label: failed.label.to_owned(),
                why: error.to_string(),
                reason: error.reason(),
                was_sent: true,
                again: is_first,
            });
        }
        self.broken = Some(error);
        Verdict::Again
    }

    /// No endpoint is left: what to answer.
    pub(crate) fn exhausted(&mut self, service: &str) -> Error {
        self.broken.take().unwrap_or_else(|| {
            let tried: Vec<_> = self
                .tries
                .iter()
                .map(|tried| format!("{}: {}", tried.label, tried.why))
                .collect();
            let (service, tried) = (service.to_owned(), tried.join("; "));
            let all = |reason| !self.tries.is_empty() && self.tries.iter().all(|tried| tried.reason == reason);
            if all(Reason::Certificate) {
                Error::Certificate { service, tried }
            } else if all(Reason::Handshake) {
                Error::Handshake { service, tried }
            } else {
                Error::Unreachable { service, tried }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broke(endpoint: u64, reused: bool) -> Failed<'static> {
        Failed {
            endpoint,
            label: "es",
            reused,
            in_hand: true,
            proof: Proof::Ambiguous,
            error: Error::BrokenOff {
                endpoint: "es".into(),
                why: "it closed the connection".into(),
            },
        }
    }

    #[test]
    fn one_that_broke_off_is_asked_once_more_after_all_others() {
        let (mut exchange, budget) = (Exchange::new(true, true, 9), RetryBudget::new());
        assert_eq!(exchange.rank(1, Standing::Well), Rank::Well);
        assert!(matches!(exchange.failed(broke(1, false), &budget), Verdict::Again));
        assert_eq!(exchange.rank(1, Standing::Well), Rank::Again);
        assert_eq!(exchange.rank(2, Standing::Out), Rank::Out);
        for endpoint in [1, 2] {
            let expected = if endpoint == 1 { Rank::UnfitAgain } else { Rank::Unfit };
            assert_eq!(exchange.rank(endpoint, Standing::Unfit), expected);
            assert_eq!(exchange.rank(endpoint, Standing::Barred), Rank::Never);
        }
        assert!(matches!(exchange.failed(broke(1, false), &budget), Verdict::Again));
        assert_eq!(exchange.rank(1, Standing::Well), Rank::Never);
        assert!(
            matches!(exchange.exhausted("orders"), Error::BrokenOff { .. }),
            "that is the reason, not that nobody can be reached"
        );
    }

    #[test]
    fn a_kept_connection_that_broke_says_nothing_of_its_endpoint() {
        let (mut exchange, budget) = (Exchange::new(true, true, 1), RetryBudget::new());
        assert!(matches!(exchange.failed(broke(1, true), &budget), Verdict::Again));
        assert_eq!(exchange.rank(1, Standing::Well), Rank::Well);
        assert!(matches!(
            exchange.failed(broke(1, false), &budget),
            Verdict::Over { denied: false, .. }
        ));
    }

    #[test]
    fn one_that_cannot_be_reached_is_not_asked_again() {
        let mut exchange = Exchange::new(false, false, 0);
        exchange.unreached(1, "es-1:9200", Reason::Unreachable, &"refused");
        exchange.unreached(2, "es-2:9200", Reason::Handshake, &"timed out");
        assert_eq!(exchange.rank(1, Standing::Well), Rank::Never);
        let told = exchange.exhausted("orders").to_string();
        assert_eq!(
            told,
            "no endpoint of service orders can be reached: es-1:9200: refused; es-2:9200: timed out"
        );
    }

    #[test]
    fn what_all_failed_by_is_the_reason() {
        for reason in [Reason::Certificate, Reason::Handshake, Reason::Unreachable] {
            let mut exchange = Exchange::new(false, false, 0);
            exchange.unreached(1, "es-1:9200", reason, &"so");
            exchange.unreached(2, "es-2:9200", reason, &"so");
            assert_eq!(exchange.exhausted("orders").reason(), reason);
        }
    }

    #[test]
    fn the_budget_has_the_last_word() {
        let budget = RetryBudget::new();
        while budget.withdraw() {}
        for (proof, is_denied) in [
            (Proof::Ambiguous, true),
            (Proof::Refused, true),
            (Proof::NotSent, false),
        ] {
            let failed = Failed {
                proof,
                ..broke(1, true)
            };
            let verdict = Exchange::new(true, true, 2).failed(failed, &budget);
            assert_eq!(
                matches!(verdict, Verdict::Over { denied: true, .. }),
                is_denied,
                "{proof:?}"
            );
        }
    }

    #[test]
    fn only_what_may_be_done_twice_probes() {
        let budget = RetryBudget::new();
        for (idempotent, is_small, retries, may) in [
            (true, true, 2, true),
            (true, true, 0, false),
            (true, false, 2, false),
            (false, true, 2, false),
        ] {
            assert_eq!(Exchange::new(idempotent, is_small, retries).may_probe(&budget), may);
        }
        while budget.withdraw() {}
        assert!(!Exchange::new(true, true, 2).may_probe(&budget));
    }
}
