//! `verify`: is everything still there as the receipt says?

use std::path::PathBuf;

use pod_contract::start::exit::Failure;
use rustix::fs::FileType;

use super::keeping::Keeping;
use super::proof::digest_at;
use super::read::Receipt;
use super::record::Mark;
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::Root;
use crate::error::{DIGEST, Error, SOURCE};

/// More differences than this are only counted.
const SHOWN: usize = 20;

/// What to verify.
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) dest: PathBuf,
    pub(crate) receipt: Keeping,
    /// Read every file that has a digest, instead of trusting inode, size and times.
    pub(crate) full: bool,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let root = Root::open(&self.dest)?;
        let mut receipt = Receipt::open(&root, &self.receipt);
        if receipt.is_empty() {
            return Err(Failure::new(SOURCE, format!("{} has no receipt", self.dest.display()))
                .remedy("nothing was copied there yet, or by something else than init-copy"));
        }
        let mut cursor = root.cursor();
        let (mut entries, mut hashed, mut differences) = (0_u64, 0_u64, Vec::new());
        for record in receipt.by_ref().filter(|record| record.mark == Mark::Put) {
            entries += 1;
            let difference = match cursor.stat(&record.path) {
                Err(Error::Io { error, .. }) => Some(error.to_string()),
                Err(e) => return Err(e.into()),
                Ok(None) => Some("is missing".into()),
                Ok(Some(stat)) if record.dir => {
                    (FileType::from_raw_mode(stat.st_mode) != FileType::Directory).then(|| "is no directory".into())
                }
                Ok(Some(stat)) => {
                    let at = Fingerprint::of(&stat);
                    match (&record.sha256, self.full) {
                        (Some(wanted), true) => {
                            hashed += 1;
                            (digest_at(&mut cursor, &record.path)?.as_ref() != Some(wanted))
                                .then(|| "has other content".into())
                        }
                        _ if record.at.is(at) => None,
                        _ if at.size != record.at.size => {
                            Some(format!("has {} bytes instead of {}", at.size, record.at.size))
                        }
                        _ => Some("was changed since it was copied".into()),
                    }
                }
            };
            if let Some(difference) = difference {
                differences.push(format!("{}: {difference}", record.path.display()));
            }
        }
        if receipt.is_damaged() {
            differences.push("the receipt itself: it cannot be read to its end".into());
        }
        if differences.is_empty() {
            tracing::info!(dest = %self.dest.display(), entries, hashed, "everything is as it was copied");
            return Ok(());
        }
        let shown: Vec<_> = differences.iter().take(SHOWN).map(|d| format!("\n  {d}")).collect();
        Err(Failure::new(
            DIGEST,
            format!(
                "{} of {entries} entries of {} differ:{}",
                differences.len(),
                self.dest.display(),
                shown.concat()
            ),
        )
        .remedy("run init-copy again: it repairs what differs, but for what --existing keep or seed leaves as it is"))
    }
}
