//! The names that we keep for ourselves in a destination.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use crate::content::checksum::hex;

/// All names of ours in a destination begin so: what is staged, the receipt, generations behind a link.
pub(crate) const RESERVED: &str = ".init-copy";
/// A hidden file, not a directory: Tomcat would deploy a directory in `webapps` as an application.
pub(crate) const RECEIPT: &str = ".init-copy.receipt";
/// And what is staged, so.
pub(crate) const PREFIX: &str = ".init-copy-";

/// Is it something that init-copy left for itself, and no content: a receipt, something staged, a download?
pub(crate) fn is_ours(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.starts_with(RESERVED.as_bytes()) && (name == RECEIPT.as_bytes() || is_staged(name) || is_part(name))
}

/// The names under which a download lies until it is complete: its bytes, and what is known of it.
pub(crate) fn part_names(key: &str) -> (OsString, OsString) {
    (
        format!("{PREFIX}part-{key}").into(),
        format!("{PREFIX}part-{key}.json").into(),
    )
}

/// The key of a download by the step `by` of `what`, which is its digest or its place.
pub(crate) fn part_key(by: &str, what: &str) -> String {
    let short = |text: &str, length| hex(&Sha256::digest(text.as_bytes()))[..length].to_owned();
    format!("{}-{}", short(by, 8), short(what, 32))
}

/// Is it a name of [`part_names`] for a key of the step `by`?
pub(crate) fn is_part_of(name: &[u8], by: &str) -> bool {
    let key = part_key(by, "");
    let prefix = format!("{PREFIX}part-{}", &key[..9]);
    name.starts_with(prefix.as_bytes())
}

/// Is it a name of [`part_names`]?
pub(crate) fn is_part(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes())
        .is_some_and(|rest| rest.starts_with(b"part-"))
}

/// Is it a name that staging gives: the prefix, eight hexadecimal digits, a number?
pub(crate) fn is_staged(name: &[u8]) -> bool {
    let Some((run, number)) = name
        .strip_prefix(PREFIX.as_bytes())
        .and_then(|rest| rest.split_at_checked(8))
    else {
        return false;
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    run.iter().all(u8::is_ascii_hexdigit) && number.strip_prefix(b"-").is_some_and(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_staging_gives_are_swept() {
        for (name, swept) in [
            (".init-copy-0123abcd-0", true),
            (".init-copy-0123abcd-12345", true),
            (".init-copy-0123abcd-", false),
            (".init-copy-0123abcd", false),
            (".init-copy-0123abcx-0", false),
            (".init-copy-notes", false),
            (".init-copy.receipt", false),
            (".init-copy-part-0123", false),
        ] {
            assert_eq!(is_staged(name.as_bytes()), swept, "{name}");
        }
    }
}
