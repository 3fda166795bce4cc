//! What is decided: pure, with the time and the dice handed in.

pub(crate) mod balance;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod health;
pub(crate) mod refresh;
pub(crate) mod retry;
