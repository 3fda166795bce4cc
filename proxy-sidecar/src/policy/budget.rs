//! Retries that add to the load are paid for by requests: when everything fails, retrying everything would only make it worse.

use std::cell::Cell;

/// A retry costs so much,
const COST: u32 = 5;
/// a request brings 1: so at most every fifth request is a retry.
const PER_REQUEST: u32 = 1;
/// What is there at the start and saved at most: a handful of retries for a service with little traffic, a burst for a busy one.
const SAVED_AT_MOST: u32 = 100 * COST;
const AT_START: u32 = 10 * COST;

/// The account of one service.
#[derive(Debug)]
pub(crate) struct RetryBudget(Cell<u32>);

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self(Cell::new(AT_START))
    }

    pub(crate) fn deposit(&self) {
        self.0.set((self.0.get() + PER_REQUEST).min(SAVED_AT_MOST));
    }

    /// Could a retry be paid for?
    pub(crate) fn has_some(&self) -> bool {
        self.0.get() >= COST
    }

    /// Pays for a retry, if it can be paid for.
    pub(crate) fn withdraw(&self) -> bool {
        let left = self.0.get().checked_sub(COST);
        left.inspect(|left| self.0.set(*left)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fifth_request_pays_for_a_retry() {
        let budget = RetryBudget::new();
        let at_start = (0..1000).filter(|_| budget.withdraw()).count();
        assert_eq!(at_start, (AT_START / COST) as usize);
        for deposits in [4, 5] {
            (0..deposits).for_each(|_| budget.deposit());
            assert_eq!(budget.withdraw(), deposits == 5 || deposits == 9, "{deposits}");
        }
    }

    #[test]
    fn savings_are_limited() {
        let budget = RetryBudget::new();
        (0..100_000).for_each(|_| budget.deposit());
        assert_eq!(
            (0..1000).filter(|_| budget.withdraw()).count(),
            (SAVED_AT_MOST / COST) as usize
        );
    }
}
