//! Metrics as text: the model, its two encodings, and the choice between them. No I/O.

mod encode;
mod model;
mod negotiate;
mod number;

pub(crate) use encode::encode;
pub(crate) use model::{Family, Kind, Sample};
pub(crate) use negotiate::{Format, negotiate};
