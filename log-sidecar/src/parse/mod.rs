//! What lines say of themselves; pure.

mod civil;
pub(crate) mod cri;
mod expression;
mod fields;
mod forms;
mod level;
mod time;

pub(crate) use civil::{
    Date, HOUR, Millis, NANOS_OF_MILLI, NANOS_OF_SECOND, Nanos, SECOND, millis, nanos, system_time,
};
pub(crate) use expression::Expression;
pub(crate) use fields::{Parsed, Parser, Shape, Value, is_ours};
pub(crate) use forms::Zone;
pub(crate) use level::Level;
pub(crate) use time::{Timestamp, begins_with_time, of_line};
