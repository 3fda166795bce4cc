//! Shows the members of a cluster to the policy that chooses one of them, and keeps what that has to remember.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Balance, Balancing};
use crate::dial::Race;
use crate::endpoints::Endpoint;
use crate::exchange::Exchange;
use crate::policy::balance::{Candidate, Choice, Rank, pick, warmth};

/// Connections that one request may have under way to one endpoint: when packets are lost, the next may get through.
const MAX_DIALS_TO_ONE: usize = 3;

/// The balancer of one service.
#[derive(Debug)]
pub(crate) struct Balancer {
    how: Balance,
    slow_start: Duration,
    /// Used again for each choice.
    candidates: RefCell<Vec<Candidate>>,
    /// Of the endpoint that was connected to last.
    current: Cell<Option<u64>>,
    /// Whose turn it was last, in turns.
    turn: Cell<f64>,
    rng: RefCell<fastrand::Rng>,
}

impl Balancer {
    pub(crate) fn new(balancing: &Balancing) -> Self {
        Self {
            how: balancing.how,
            slow_start: balancing.slow_start,
            candidates: RefCell::default(),
            current: Cell::new(None),
            turn: Cell::new(0.0),
            rng: RefCell::new(fastrand::Rng::new()),
        }
    }

    /// From now on, this is the one to stay with.
    pub(crate) fn stay_with(&self, endpoint: &Endpoint) {
        self.current.set(Some(endpoint.id));
    }

    /// The member for the next try of a request that is dialling in `race`; none when it has been everywhere, or is on its way.
    pub(crate) fn choose(&self, members: &[Rc<Endpoint>], exchange: &Exchange, race: &Race) -> Option<usize> {
        let now = (!self.slow_start.is_zero()).then(Instant::now);
        let mut candidates = self.candidates.borrow_mut();
        candidates.clear();
        candidates.extend(
            members
                .iter()
                .map(|endpoint| self.candidate(endpoint, exchange, race, now)),
        );
        let choice = self.choice(members, exchange);
        let index = pick(&candidates, choice, &mut self.rng.borrow_mut())?;
        if matches!(choice, Choice::InTurn) {
            let turn = candidates[index].turn;
            self.turn.set(turn);
            members[index].turn.set(turn);
        }
        Some(index)
    }

    fn candidate(&self, endpoint: &Endpoint, exchange: &Exchange, race: &Race, now: Option<Instant>) -> Candidate {
        let warmth = now.map_or(1.0, |now| {
            warmth(now.saturating_duration_since(endpoint.well_since()), self.slow_start)
        });
        let weight = endpoint.target.weight * warmth;
        Candidate {
            rank: match (exchange.rank(endpoint.id, endpoint.standing()), race.to(endpoint)) {
                (rank, 0) => rank,
                (Rank::Never, _) | (_, MAX_DIALS_TO_ONE..) => Rank::Never,
                (Rank::Unfit, _) => Rank::UnfitAgain,
                (rank, _) => rank.max(Rank::Again),
            },
            priority: endpoint.target.priority,
            weight,
            in_flight: endpoint.in_flight(),
            latency: endpoint.latency(),
            // Who is new, or was not used, has no turns to make up for.
            turn: (endpoint.turn.get() + 1.0 / weight).max(self.turn.get()),
            place: endpoint.place,
        }
    }

    fn choice(&self, members: &[Rc<Endpoint>], exchange: &Exchange) -> Choice {
        match self.how {
            Balance::PeakEwma => Choice::Fastest,
            Balance::Least => Choice::Least,
            Balance::RoundRobin => Choice::InTurn,
            Balance::Hash => exchange.key.map_or(Choice::Least, Choice::Hash),
            Balance::Sticky => {
                let current = self.current.get();
                let current = current.and_then(|id| members.iter().position(|endpoint| endpoint.id == id));
                current.map_or(Choice::Least, Choice::Stay)
            }
        }
    }
}
