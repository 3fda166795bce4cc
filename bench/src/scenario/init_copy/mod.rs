//! The scenarios of `init-copy`.

pub(super) mod one_file;
pub(super) mod one_file_digest;
pub(super) mod run_again;
pub(super) mod small_files;
pub(super) mod unpack_war;
