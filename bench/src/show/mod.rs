//! Results as text and as pictures.

mod axis;
pub(crate) mod chart;
pub(crate) mod notation;
mod panel;
pub(crate) mod table;
