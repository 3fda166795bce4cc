//! What earlier runs put there, and what that proves.

mod entries;
mod existing;
mod format;
mod inventory;
mod keeping;
mod proof;
mod prune;
mod verify;

pub(crate) use entries::Entered;
pub(crate) use existing::Existing;
pub(crate) use format::{Receipt, Record};
pub(crate) use inventory::Inventory;
pub(crate) use keeping::Keeping;
pub(crate) use proof::{Comparison, Found, Proof};
pub(crate) use prune::prune;
pub(crate) use verify::Verify;
