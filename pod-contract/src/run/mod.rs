//! What a process does while it runs, whatever its work is: it is ready, it is told to stop, it drains.

pub mod lifecycle;
pub mod ready;
