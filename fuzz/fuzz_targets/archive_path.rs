//! Names and links of archives, against a second opinion. Input: a name; and with a NUL in it, a link and its content.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use fuzz::assert_safe;
use init_copy::plan::safe_path;
use libfuzzer_sys::fuzz_target;

const MAX_PATH: usize = 4095;

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = safe_path::relative(data) {
        assert_safe(&path);
        // Nothing but dots and slashes was dropped.
        assert!(
            Path::new(OsStr::from_bytes(data))
                .components()
                .filter(is_name)
                .eq(path.components())
        );
    }
    let Some(nul) = data.iter().position(|&byte| byte == 0) else {
        return;
    };
    let (link, to) = (&data[..nul], &data[nul + 1..]);
    if let Ok(link) = safe_path::relative(link) {
        assert_safe(&link);
        assert_eq!(
            safe_path::link_stays(&link, to).is_ok(),
            stays(&link, to),
            "{link:?} -> {to:?}"
        );
    }
});

fn is_name(part: &Component<'_>) -> bool {
    matches!(part, Component::Normal(_))
}

/// Goes from the link where its content says, as a shell's `cd -L` would, never above the root, and never up after it went down.
fn stays(link: &Path, to: &[u8]) -> bool {
    let to = Path::new(OsStr::from_bytes(to));
    if to.as_os_str().is_empty() || to.as_os_str().len() > MAX_PATH || to.as_os_str().as_bytes().contains(&0) {
        return false;
    }
    let root = Path::new("/volume/root");
    let mut at: PathBuf = root.join(link);
    at.pop();
    let mut down = false;
    for part in to.components() {
        match part {
            Component::Normal(name) => {
                at.push(name);
                down = true;
            }
            Component::ParentDir if down => return false,
            Component::ParentDir => drop(at.pop()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
        if !at.starts_with(root) {
            return false;
        }
    }
    true
}
