//! `install-self DIR`: this binary into a shared volume, so that a neighbour without a shell can run its subcommands.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::publish;
use crate::start::exit::Failure;

/// Copies the running executable to `dir/<name>`, executable by everybody, replacing an older one by rename:
/// a neighbour that runs the old one keeps it ("text file busy" cannot happen).
pub fn install_self(name: &str, dir: &Path) -> Result<PathBuf, Failure> {
    let target = dir.join(name);
    copy(&target).map_err(|error| {
        Failure::failed(format!("cannot install {name} as {}: {error}", target.display()))
            .remedy("name a directory that exists and is writable for this user, such as the mount path of an emptyDir")
    })?;
    Ok(target)
}

fn copy(target: &Path) -> io::Result<()> {
    let mut own = std::fs::File::open("/proc/self/exe")?;
    let mut staged = publish::Staged::create(target)?;
    io::copy(&mut own, staged.file())?;
    staged.publish(0o755)
}
