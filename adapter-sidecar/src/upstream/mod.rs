//! The application's side: asking it, within a deadline and limits.

mod deadline;
mod flight;
mod limited;
mod target;

pub(crate) use deadline::{Deadline, SCRAPE_TIMEOUT};
pub(crate) use flight::Flight;
pub(crate) use limited::Passing;
pub(crate) use target::{Failure, Target};
