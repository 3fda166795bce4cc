//! What the targets share: the checks of a member, and repairs that let a mutated archive pass the first check of the walkers.

mod tar;
mod zip;

use std::path::{Component, Path};

use init_copy::archive::{Leniency, Member, MemberKind};
use init_copy::plan::safe_path;

pub use tar::repair as repair_tar;
pub use zip::repair as repair_zip;

/// Every way to read an archive.
pub fn leniencies() -> impl Iterator<Item = Leniency> {
    (0..8).map(|bits| Leniency {
        no_end: bits & 1 != 0,
        backslashes: bits & 2 != 0,
        layer: bits & 4 != 0,
    })
}

/// Panics unless `path` is what [`safe_path::relative`] promises.
pub fn assert_safe(path: &Path) {
    assert!(!path.as_os_str().is_empty(), "an empty path");
    assert!(
        path.components().all(|part| matches!(part, Component::Normal(_))),
        "{path:?} has a component that is not normal"
    );
    let bytes = path.as_os_str().as_encoded_bytes();
    assert!(
        !bytes.iter().any(|&byte| byte.is_ascii_control() || byte == b'\\'),
        "{path:?} has a control character or a backslash"
    );
    assert_eq!(
        safe_path::relative(bytes).as_deref(),
        Ok(path),
        "a second pass changes its mind"
    );
}

/// Panics unless a member from a walker can be believed.
pub fn assert_sound(member: &Member) {
    if !matches!(member.kind, MemberKind::Unfit(_)) {
        assert_safe(&member.path);
    }
    assert_eq!(member.mode & !0o777, 0, "{member:?} has more than permission bits");
    match &member.kind {
        MemberKind::File => return,
        MemberKind::Dir => {}
        MemberKind::Link(to) => assert_eq!(safe_path::link_content(to), Ok(())),
        MemberKind::Hard(to) => assert_safe(to),
        MemberKind::Unfit(why) => {
            assert!(!why.is_empty());
            return;
        }
    }
    assert_eq!(member.size, 0, "{member:?} is no file and has a size");
}
