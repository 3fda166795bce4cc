//! What rotation makes of a file's name.

use std::path::Path;

/// How a file's name relates to the patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Matched,
    /// Its name is what rotation makes of a name that matches, such as `app.log.1`.
    Rotated,
    Other,
}

/// How the names of compressed files end.
const COMPRESSED: [&str; 6] = ["gz", "bz2", "xz", "zst", "lz4", "zip"];

/// What stands between a name and what rotation adds to it.
const SEPARATORS: [char; 3] = ['.', '-', '_'];

/// Names that the file may have had before it was rotated, and compressed: `app.log` of `app.log.1.gz`, `app.log-20261126`,
/// `app-20261126.log` and `app.2026-11-26.0.log`.
pub(super) fn before_rotation(name: &str) -> impl Iterator<Item = String> {
    let compressed = COMPRESSED
        .iter()
        .find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'));
    let name = compressed.unwrap_or(name);
    let shorter = name
        .rmatch_indices(SEPARATORS)
        .filter(|(at, _)| is_added(&name[at + 1..]))
        .map(|(at, _)| name[..at].to_owned());
    let (stem, ending) = name.rfind('.').map_or((name, ""), |dot| name.split_at(dot));
    let without_middle = stem
        .rmatch_indices(SEPARATORS)
        .filter(move |(at, _)| !ending.is_empty() && is_added(&stem[at + 1..]))
        .map(move |(at, _)| format!("{}{ending}", &stem[..at]));
    let unpacked = compressed.map(str::to_owned);
    unpacked.into_iter().chain(shorter).chain(without_middle)
}

/// Is it what rotation adds: a number, a date, or a word for what is old? `app-error.log` is a neighbour of `app.log`.
fn is_added(part: &str) -> bool {
    part.bytes().any(|byte| byte.is_ascii_digit())
        || ["old", "bak", "prev", "previous", "backup", "orig"].contains(&part)
}

/// Is `path` what rotation may make of `followed`: `app.log.1`, `app.log-20261126`, or `app-20261126.log` of `app.log`? In whatever
/// directory.
pub(crate) fn is_rotation_of(followed: &Path, path: &Path) -> bool {
    let (stem, name) = (followed.file_stem(), path.file_name());
    let rest = stem.zip(name).and_then(|(stem, name)| {
        let (stem, name) = (stem.as_encoded_bytes(), name.as_encoded_bytes());
        name.strip_prefix(stem)
    });
    path.file_name() != followed.file_name()
        && rest.is_some_and(|rest| rest.first().is_some_and(|byte| b".-_".contains(byte)))
}

/// Does its name say that it is compressed?
pub(crate) fn is_compressed_name(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| COMPRESSED.iter().any(|known| ending == *known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_traced_back_to_what_it_was() {
        let of = |name: &str| before_rotation(name).collect::<Vec<_>>();
        assert!(of("app.log.1").contains(&"app.log".to_owned()));
        assert!(of("app.log.2026-11-26.0.gz").contains(&"app.log".to_owned()));
        assert!(of("app.2026-11-26.0.log").contains(&"app.log".to_owned()));
        assert!(of("app-20261126.log.gz").contains(&"app.log".to_owned()));
        assert!(of("a.log.gz").contains(&"a.log".to_owned()));
        assert!(of("plain").is_empty());
        assert!(of("app.log.old").contains(&"app.log".to_owned()));
        for neighbour in ["app-error.log", "app.audit.log", "app.log.lock"] {
            assert!(!of(neighbour).contains(&"app.log".to_owned()), "{neighbour}");
        }
    }

    #[test]
    fn what_rotation_makes_of_a_file_is_named_after_it() {
        for (name, is_rotation) in [
            ("app.log.1", true),
            ("app.log-20261126", true),
            ("app-20261126.log", true),
            ("app.2026-11-26.0.log", true),
            ("app.log", false),
            ("apple.log.1", false),
            ("b.log.1", false),
        ] {
            assert_eq!(
                is_rotation_of(Path::new("/logs/app.log"), Path::new(name)),
                is_rotation,
                "{name}"
            );
        }
    }
}
