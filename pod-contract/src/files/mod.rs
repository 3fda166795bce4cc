//! Files that others read, and files that others write.

pub mod publish;
