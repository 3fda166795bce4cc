//! The order of everything: of the plan, of the receipt, of what is staged.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// By component, so that a directory comes right before all that is below it.
pub(crate) fn order(a: &Path, b: &Path) -> std::cmp::Ordering {
    // Like comparing the components, without taking the paths apart: the separator sorts before any other byte.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.as_os_str()
        .as_bytes()
        .iter()
        .map(key)
        .cmp(b.as_os_str().as_bytes().iter().map(key))
}
