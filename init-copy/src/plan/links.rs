//! What becomes of symbolic links.

use std::borrow::Cow;
use std::path::Path;

use pod_contract::config::Word;

use super::safe_path::{Unsafe, link_from_root, link_stays};
use crate::error::{Error, UNSAFE};

/// The policy for the links of trees and archives. Links are never followed to write; what they mean to whoever reads them later is
/// another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Links {
    /// Copied as they are, wherever they lead.
    Keep,
    /// Files and directories in their place; of trees only.
    Follow,
    /// An absolute link is taken to start at the destination, as if that were `/`, and becomes relative.
    Relative,
    /// One that leads out of the destination fails the run.
    Refuse,
}

impl Word for Links {
    const FORM: &'static str = "keep, follow, relative or refuse";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("keep", Self::Keep),
        ("follow", Self::Follow),
        ("relative", Self::Relative),
        ("refuse", Self::Refuse),
    ];
}

impl Links {
    /// What the link at `target`, a path below the destination, will hold, which was `to`.
    pub(crate) fn content<'t>(self, target: &Path, to: &'t [u8]) -> Cow<'t, [u8]> {
        match self {
            Self::Relative => link_from_root(target, to).map_or(Cow::Borrowed(to), Cow::Owned),
            Self::Keep | Self::Follow | Self::Refuse => Cow::Borrowed(to),
        }
    }

    /// Fails when the link would lead to where it may not.
    pub(crate) fn check(self, target: &Path, to: &[u8]) -> Result<(), Unsafe> {
        match self {
            Self::Keep | Self::Follow => Ok(()),
            Self::Relative | Self::Refuse => link_stays(target, &self.content(target, to)),
        }
    }
}

/// A link that the policy does not let pass: of a tree or an archive.
pub(crate) fn leads_outside(link: &str, to: &[u8]) -> Error {
    Error::new(
        UNSAFE,
        format!(
            "the link {link} leads out of the destination, to {}",
            String::from_utf8_lossy(to)
        ),
        "--links keep keeps such links as they are; --links relative takes absolute ones to start at the destination; or leave it \
         out with --exclude",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_links_start_at_the_destination() {
        for (at, to, becomes) in [
            ("bin/python3", "/usr/bin/python3", "../usr/bin/python3"),
            ("a", "/b", "b"),
            ("a/b/c", "/", "../../."),
            ("a/b", "//c", "../c"),
            ("a/b", "c", "c"),
            ("a/b", "../../c", "../../c"),
        ] {
            let content = Links::Relative.content(Path::new(at), to.as_bytes());
            assert_eq!(String::from_utf8_lossy(&content), becomes, "{at} -> {to}");
            assert_eq!(&*Links::Keep.content(Path::new(at), to.as_bytes()), to.as_bytes());
        }
        for (policy, to, good) in [
            (Links::Keep, "/etc", true),
            (Links::Refuse, "/etc", false),
            (Links::Refuse, "../x", true),
            (Links::Refuse, "../../x", false),
            (Links::Relative, "/etc", true),
            (Links::Relative, "../../x", false),
            (Links::Relative, "/x/../../../etc", false),
        ] {
            assert_eq!(
                policy.check(Path::new("a/b"), to.as_bytes()).is_ok(),
                good,
                "{policy:?} {to}"
            );
        }
    }
}
