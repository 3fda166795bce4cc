//! What earlier runs put there, and what that proves.

mod entries;
mod existing;
mod inventory;
mod keeping;
mod look;
mod looks;
mod proof;
mod prune;
mod read;
mod record;
mod verify;
mod write;

pub(crate) use entries::{Entered, refuse_as_target, refuse_of_another};
pub(crate) use existing::Existing;
pub(crate) use inventory::Inventory;
pub(crate) use keeping::Keeping;
pub(crate) use look::Look;
pub(crate) use looks::Looks;
pub(crate) use proof::{Comparison, Found, Proof, digest_of_link, is_as_put};
pub(crate) use prune::prune;
pub(crate) use read::Receipt;
pub(crate) use record::{Mark, Record, Whole};
pub(crate) use verify::Verify;
