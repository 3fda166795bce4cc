//! Where our binaries are.

use std::path::{Path, PathBuf};

/// Those of one directory, or those that the musl build leaves in the target directory.
#[derive(Debug, Clone)]
pub(crate) enum Binaries {
    InOneDirectory(PathBuf),
    BelowTarget(PathBuf),
}

impl Binaries {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::InOneDirectory(dir) => dir.join(name),
            Self::BelowTarget(target) => {
                let profile = if name == "init-copy" { "oneshot" } else { "release" };
                target.join("x86_64-unknown-linux-musl").join(profile).join(name)
            }
        }
    }

    /// `None` is the target directory that cargo would use.
    pub(crate) fn found_in(dir: Option<&PathBuf>) -> Self {
        match dir {
            Some(dir) => Self::InOneDirectory(dir.clone()),
            None => {
                let target = std::env::var_os("CARGO_TARGET_DIR");
                Self::BelowTarget(target.map_or_else(|| Path::new("target").to_owned(), PathBuf::from))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_musl_build_leaves_init_copy_in_a_profile_of_its_own() {
        let below = Binaries::BelowTarget("target".into());
        let start = "target/x86_64-unknown-linux-musl";
        assert_eq!(below.path("init-copy"), Path::new(start).join("oneshot/init-copy"));
        assert_eq!(below.path("log-sidecar"), Path::new(start).join("release/log-sidecar"));
        let one = Binaries::InOneDirectory("bin".into());
        assert_eq!(one.path("init-copy"), Path::new("bin/init-copy"));
    }
}
