//! Names from archives and artifacts, turned into paths that cannot leave the directory they are meant for.
//!
//! One rule for zip, tar and OCI titles: what is spelled strangely is refused rather than repaired, since whoever checked the
//! archive before may have repaired it differently.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The longest path that the kernel takes, with its final NUL.
pub(crate) const MAX_PATH: usize = 4095;
/// The longest name of common file systems.
const MAX_NAME: usize = 255;

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// Nothing but dots and slashes.
    #[error("it is empty")]
    Empty,
    /// Starts with a slash.
    #[error("it is an absolute path")]
    Absolute,
    /// Has a component `..`.
    #[error("it has a component ..")]
    Parent,
    /// A backslash is a separator to some readers and a character to others.
    #[error("it has a backslash")]
    Backslash,
    /// NUL, line feed or another control character.
    #[error("it has a control character")]
    Control,
    /// Longer than 4095 bytes, or a component longer than 255.
    #[error("it is too long")]
    TooLong,
}

/// The name as a path of normal components; `.` and doubled slashes are dropped.
pub fn relative(name: &[u8]) -> Result<PathBuf, Unsafe> {
    if name.len() > MAX_PATH {
        return Err(Unsafe::TooLong);
    }
    if name.first() == Some(&b'/') {
        return Err(Unsafe::Absolute);
    }
    if name.iter().any(u8::is_ascii_control) {
        return Err(Unsafe::Control);
    }
    if name.contains(&b'\\') {
        return Err(Unsafe::Backslash);
    }
    let mut path = PathBuf::new();
    for component in name.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(Unsafe::Parent),
            name if name.len() > MAX_NAME => return Err(Unsafe::TooLong),
            name => path.push(OsStr::from_bytes(name)),
        }
    }
    if path.as_os_str().is_empty() {
        Err(Unsafe::Empty)
    } else {
        Ok(path)
    }
}

/// Can a symbolic link have this content at all?
pub fn link_content(to: &[u8]) -> Result<(), Unsafe> {
    match to {
        [] => Err(Unsafe::Empty),
        _ if to.contains(&0) => Err(Unsafe::Control),
        _ if to.len() > MAX_PATH => Err(Unsafe::TooLong),
        _ => Ok(()),
    }
}

/// The content that makes the absolute link `link` lead to the same place below the root that both are in, and not below `/`; `None`
/// when it is relative already.
pub fn link_from_root(link: &Path, to: &[u8]) -> Option<Vec<u8>> {
    let below = to.strip_prefix(b"/")?;
    let up = link.components().count().saturating_sub(1);
    let below = below.strip_prefix(b"/").unwrap_or(below);
    let mut relative = b"../".repeat(up);
    relative.extend_from_slice(if below.is_empty() { b"." } else { below });
    Some(relative)
}

/// Does the symbolic link `link` (a path from [`relative`]) with content `to` lead to a place below the same root?
///
/// It may go up first and down then, but not up again: what lies above a name is elsewhere when that name is a link, of this archive,
/// of another one, or of the destination. No component of `link`'s parents may itself be a link, which the caller has to see to.
pub fn link_stays(link: &Path, to: &[u8]) -> Result<(), Unsafe> {
    link_content(to)?;
    if to.first() == Some(&b'/') {
        return Err(Unsafe::Absolute);
    }
    let mut depth = link.components().count().saturating_sub(1);
    let mut down = false;
    for component in to.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if down => return Err(Unsafe::Parent),
            b".." => depth = depth.checked_sub(1).ok_or(Unsafe::Parent)?,
            _ => down = true,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_pass() {
        for (name, path) in [
            ("a", "a"),
            ("a/b/", "a/b"),
            ("./a//b", "a/b"),
            ("a..b/...", "a..b/..."),
            ("é/ü", "é/ü"),
            ("C:x", "C:x"),
            ("a:b/c:d", "a:b/c:d"),
        ] {
            assert_eq!(relative(name.as_bytes()), Ok(PathBuf::from(path)), "{name:?}");
        }
    }

    #[test]
    fn every_spelling_of_outside_is_refused() {
        for (name, why) in [
            ("", Unsafe::Empty),
            ("./.", Unsafe::Empty),
            ("/etc/passwd", Unsafe::Absolute),
            ("//server/share", Unsafe::Absolute),
            ("../x", Unsafe::Parent),
            ("a/../../x", Unsafe::Parent),
            ("a/..", Unsafe::Parent),
            ("..\\x", Unsafe::Backslash),
            ("a\\b", Unsafe::Backslash),
            ("a\0b", Unsafe::Control),
            ("a\nb", Unsafe::Control),
        ] {
            assert_eq!(relative(name.as_bytes()), Err(why), "{name:?}");
        }
        for (length, good) in [(MAX_NAME - 1, true), (MAX_NAME, true), (MAX_NAME + 1, false)] {
            assert_eq!(relative(&vec![b'x'; length]).is_ok(), good, "{length}");
        }
        for (length, good) in [(MAX_PATH - 1, true), (MAX_PATH, true), (MAX_PATH + 1, false)] {
            let name: Vec<u8> = b"ab/".iter().copied().cycle().take(length).collect();
            assert_eq!(relative(&name).is_ok(), good, "{length}");
        }
    }

    #[test]
    fn links_may_only_point_inside() {
        let at = Path::new("a/b/link");
        for inside in ["x", "../x", "../../x", "./y/z", "../../a"] {
            assert_eq!(link_stays(at, inside.as_bytes()), Ok(()), "{inside}");
        }
        for outside in ["/x", "../../../x", "../../x/../../y", "y/../z", ""] {
            assert!(link_stays(at, outside.as_bytes()).is_err(), "{outside}");
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_is_below(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = relative(&name) {
                prop_assert!(path.components().all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert!(path.components().count() > 0);
                prop_assert_eq!(relative(path.as_os_str().as_bytes()), Ok(path));
            }
        }
    }
}
