//! The order of everything: of the plan, of the receipt, of what is staged; by bytes, since there are many.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// By component, so that a directory comes right before all that is below it.
pub(crate) fn order(a: &Path, b: &Path) -> Ordering {
    let (a, b) = (a.as_os_str().as_bytes(), b.as_os_str().as_bytes());
    // Like comparing the components, without taking the paths apart: the separator sorts before any other byte.
    let key = |byte: Option<&u8>| match byte {
        Some(b'/') => Some(0),
        other => other.copied(),
    };
    match std::iter::zip(a, b).position(|(a, b)| a != b) {
        Some(at) => key(a.get(at)).cmp(&key(b.get(at))),
        None => a.len().cmp(&b.len()),
    }
}

/// Is `path` the same as `top`, or below it? Both are of normal components.
pub(crate) fn is_within(path: &Path, top: &Path) -> bool {
    let rest = path.as_os_str().as_bytes().strip_prefix(top.as_os_str().as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || top.as_os_str().is_empty())
}

/// Is it of normal components only, and written in the one way that it can be? The empty path is.
pub(crate) fn is_normal(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.is_empty()
        || bytes
            .split(|&byte| byte == b'/')
            .all(|name| !matches!(name, b"" | b"." | b".."))
}

/// The directory and the last name of a path of normal components; less work than with any path.
pub(crate) fn apart(path: &Path) -> (&Path, &OsStr) {
    let bytes = path.as_os_str().as_bytes();
    let (parent, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&b""[..], bytes),
    };
    (Path::new(OsStr::from_bytes(parent)), OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_components() {
        let paths = [
            "", "a", "a/b", "a/b/c", "a/b-c", "a/\u{1}", "a-b", "a.b/c", "ab", "b", "\u{1}",
        ];
        for (a, b) in paths.iter().flat_map(|a| paths.map(|b| (Path::new(*a), Path::new(b)))) {
            let expected = a.components().cmp(b.components());
            assert_eq!(order(a, b), expected, "{a:?} {b:?}");
            assert_eq!(is_within(a, b), a.starts_with(b), "{a:?} {b:?}");
            let parent = a.parent().unwrap_or(Path::new(""));
            assert_eq!(apart(a), (parent, a.file_name().unwrap_or_default()), "{a:?}");
        }
    }

    #[test]
    fn normal_paths_are_written_in_one_way() {
        for good in ["", "a", "a/b", "...", "a/.b/..c"] {
            assert!(is_normal(Path::new(good)), "{good:?}");
        }
        for bad in ["/", "/a", "a/", "a//b", ".", "a/.", "./a", "..", "../a", "a/../b"] {
            assert!(!is_normal(Path::new(bad)), "{bad:?}");
        }
    }
}
