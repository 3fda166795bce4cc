//! What was found against what is wanted.

pub(crate) mod compare;
pub(crate) mod goal;
pub(crate) mod statistics;
pub(crate) mod verdict;
