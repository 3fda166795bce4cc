//! Data to work on: the same bytes in every run, from a fixed seed.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fastrand::Rng;

use crate::error::{During as _, Error};

const SEED: u64 = 0x1417_C097;
/// 2024-01-01: long ago, so that a copy made now has another time unless it was preserved.
const EPOCH_SECONDS: u64 = 1_704_067_200;

/// A generator that gives the same sequence in every run.
pub(crate) fn rng() -> Rng {
    Rng::with_seed(SEED)
}

/// A file that does not compress.
pub(crate) fn random_file(path: &Path, length: u64) -> Result<(), Error> {
    const BLOCK: u64 = 1024 * 1024;
    let mut rng = rng();
    let mut file = File::create(path).during("create", path)?;
    let mut block = vec![0; 1024 * 1024];
    let mut left = length;
    while left > 0 {
        rng.fill(&mut block);
        let count = usize::try_from(left.min(BLOCK)).unwrap_or(block.len());
        file.write_all(&block[..count]).during("write", path)?;
        left -= left.min(BLOCK);
    }
    Ok(())
}

/// As many small files in each of `folders` folders: one in a hundred is empty, the others have 256 bytes to 64 KiB, each size class as
/// often as the next, which makes a mean of 11.6 KB. Every tenth may be executed; times are in the past, each its own second.
pub(crate) fn small_files(root: &Path, folders: u64, files_each: u64) -> Result<(), Error> {
    let mut rng = rng();
    let mut block = vec![0; 64 * 1024];
    for folder in 0..folders {
        let dir = root.join(format!("folder-{folder:03}"));
        fs::create_dir_all(&dir).during("create", &dir)?;
        for number in 0..files_each {
            let index = folder * files_each + number;
            let path = dir.join(format!("file-{number:03}.bin"));
            let length = if index.is_multiple_of(100) {
                0
            } else {
                log_spread(&mut rng, 256, 64 * 1024)
            };
            rng.fill(&mut block[..length]);
            fs::write(&path, &block[..length]).during("write", &path)?;
            let mode = if index.is_multiple_of(10) { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).during("set the mode of", &path)?;
            age(&path, index)?;
        }
        age(&dir, folder)?;
    }
    age(root, 0)
}

/// A length between `low` and `high`: doubling it makes it half as likely, byte for byte.
pub(crate) fn log_spread(rng: &mut Rng, low: u32, high: u32) -> usize {
    let (low, high) = (f64::from(low), f64::from(high));
    (low * (high / low).powf(rng.f64())) as usize
}

/// Bytes like those of a class file, which compress to about half: words of a small vocabulary between bytes that do not repeat.
pub(crate) fn half_compressible(rng: &mut Rng, length: usize) -> Vec<u8> {
    const WORDS: [&[u8]; 8] = [
        b"Ljava/lang/String;",
        b"java/lang/Object",
        b"<init>",
        b"LineNumberTable",
        b"Lorg/example/shop/Order;",
        b"Code",
        b"StackMapTable",
        b"getClass",
    ];
    let mut bytes = Vec::with_capacity(length + 64);
    while bytes.len() < length {
        if let Some(word) = rng.choice(WORDS) {
            bytes.extend_from_slice(word);
        }
        let mut operands = [0; 8];
        let count = rng.usize(2..=8);
        rng.fill(&mut operands);
        bytes.extend_from_slice(&operands[..count]);
    }
    bytes.truncate(length);
    bytes
}

fn age(path: &Path, seconds: u64) -> Result<(), Error> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_SECONDS + seconds);
    let file = File::open(path).during("open", path)?;
    file.set_modified(time).during("set the time of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_file_has_its_length_and_the_same_bytes_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        let length = 1024 * 1024 + 7;
        random_file(&one, length).unwrap();
        random_file(&two, length).unwrap();
        assert_eq!(fs::metadata(&one).unwrap().len(), length);
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
    }

    #[test]
    fn small_files_are_as_large_as_promised() {
        let dir = tempfile::tempdir().unwrap();
        small_files(dir.path(), 5, 200).unwrap();
        let mut lengths = Vec::new();
        for folder in fs::read_dir(dir.path()).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                lengths.push(file.unwrap().metadata().unwrap().len());
            }
        }
        assert_eq!(lengths.len(), 1000);
        assert_eq!(lengths.iter().filter(|length| **length == 0).count(), 10);
        assert!(lengths.iter().all(|length| *length <= 64 * 1024));
        let mean = lengths.iter().sum::<u64>() / 1000;
        assert!((10_500..12_800).contains(&mean), "{mean}");
    }

    #[test]
    fn class_like_bytes_have_their_length() {
        for length in [0, 1, 1000] {
            assert_eq!(half_compressible(&mut rng(), length).len(), length);
        }
    }
}
