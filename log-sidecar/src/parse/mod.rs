//! What lines say of themselves; pure.

mod civil;
mod forms;
mod time;

pub(crate) use civil::{Date, HOUR, Millis, millis, system_time};
pub(crate) use forms::Zone;
pub(crate) use time::{Timestamp, begins_with_time, of_line};
