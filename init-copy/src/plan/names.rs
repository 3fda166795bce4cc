//! The names that we keep for ourselves in a destination.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use sha2::{Digest as _, Sha256};

use pod_contract::units::hex;

/// All names of ours in a destination begin so: what is staged, the receipt, generations behind a link.
pub(crate) const RESERVED: &str = ".init-copy";
/// A hidden file, not a directory: Tomcat would deploy a directory in `webapps` as an application.
pub(crate) const RECEIPT: &str = ".init-copy.receipt";
/// And what is staged, so.
pub(crate) const PREFIX: &str = ".init-copy-";

/// Is it something that init-copy left for itself, and no content: a receipt, something staged, a download?
pub(crate) fn is_ours(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let is_reserved = bytes.starts_with(RESERVED.as_bytes());
    is_receipt_to_be(bytes)
        || (is_reserved && (bytes == RECEIPT.as_bytes() || is_staged(bytes) || PartName::parse(name).is_some()))
}

/// The names under which a download lies until it is complete: its bytes, and what is known of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartName(String);

impl PartName {
    /// Of a download for `owner` of `what`, which is its digest or its place.
    pub(crate) fn of(owner: &str, what: &str) -> Self {
        Self(format!("{}-{}", short(owner, 8), short(what, 32)))
    }

    /// Whose name is it?
    pub(crate) fn parse(name: &OsStr) -> Option<Self> {
        let key = name
            .as_bytes()
            .strip_prefix(PREFIX.as_bytes())?
            .strip_prefix(b"part-")?;
        let key = key.strip_suffix(b".json").unwrap_or(key);
        std::str::from_utf8(key).ok().map(|key| Self(key.to_owned()))
    }

    pub(crate) fn is_owned_by(&self, owner: &str) -> bool {
        self.0.split_once('-').is_some_and(|(by, _)| by == short(owner, 8))
    }

    pub(crate) fn bytes(&self) -> OsString {
        format!("{PREFIX}part-{}", self.0).into()
    }

    pub(crate) fn facts(&self) -> OsString {
        format!("{PREFIX}part-{}.json", self.0).into()
    }
}

fn short(text: &str, length: usize) -> String {
    hex(&Sha256::digest(text.as_bytes()))[..length].to_owned()
}

/// Is it the receipt on its way, which a run left that was killed?
pub(crate) fn is_receipt_to_be(name: &[u8]) -> bool {
    name.strip_prefix(b".")
        .and_then(|name| name.strip_prefix(RECEIPT.as_bytes()))
        .is_some_and(|rest| rest.starts_with(b".tmp-"))
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
