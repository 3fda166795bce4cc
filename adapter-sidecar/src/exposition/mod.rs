//! Metrics as text: the model and its two encodings. No I/O.

mod encode;
mod model;
mod number;

pub(crate) use encode::encode;
pub(crate) use model::{Family, Kind, Sample};
