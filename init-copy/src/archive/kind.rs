//! Which format an archive has.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use pod_contract::config::Word;

use super::decode::{Packing, ReadFrom, decoder};
use super::tar::BLOCK;

/// A tar without members; GNU tar makes it of 10 KiB, as a record of a tape.
const MAX_EMPTY: u64 = 64 << 10;

/// The formats that are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Zip,
    Tar(Packing),
    /// One file by itself.
    File(Packing),
}

impl Format {
    /// Told by the first bytes of a file, and what they unpack to. By its `name`, a tar is one even if it is damaged.
    pub(crate) fn detect(file: &File, name: &Path) -> std::io::Result<Option<Self>> {
        let mut head = Vec::new();
        ReadFrom::start(file).take(BLOCK as u64).read_to_end(&mut head)?;
        let packing = Packing::detect(&head);
        if packing != Packing::None {
            let mut unpacked = Vec::new();
            let read = decoder(file, packing)?.take(MAX_EMPTY + 1).read_to_end(&mut unpacked);
            let is_tar = read.is_err() || is_tar(&unpacked) || (is_zero(&unpacked) && is_whole(unpacked.len() as u64));
            return Ok(Some(match is_tar || says_tar(name) {
                true => Self::Tar(packing),
                false => Self::File(packing),
            }));
        }
        Ok(match head.as_slice() {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            head if is_tar(head) => Some(Self::Tar(packing)),
            _ if super::zip::has_directory(file) => Some(Self::Zip),
            // Nothing but an end mark: a tar without members.
            head if is_zero(head) && is_whole(file.metadata()?.len()) => Some(Self::Tar(packing)),
            _ => None,
        })
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Zip => "zip".into(),
            Self::Tar(Packing::None) => "tar".into(),
            Self::Tar(packing) => format!("tar.{}", packing.name()),
            Self::File(packing) => packing.name().into(),
        }
    }
}

/// What the one file is called that was packed under `name`.
pub(crate) fn unpacked_name(name: &Path) -> PathBuf {
    let is_packed = |ending: &OsStr| {
        ["gz", "zst", "xz", "bz2"]
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    };
    match name.extension() {
        Some(ending) if is_packed(ending) => name.with_extension(""),
        _ => name.to_owned(),
    }
}

/// `x.tar.gz`, `x.tgz`.
fn says_tar(name: &Path) -> bool {
    let is = |name: &Path, endings: &[&str]| {
        let ending = name.extension();
        ending.is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
    };
    is(name, &["tgz", "tzst", "txz", "tbz", "tbz2"]) || is(&unpacked_name(name), &["tar"])
}

fn is_tar(bytes: &[u8]) -> bool {
    bytes.get(..BLOCK).is_some_and(super::tar::is_header)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// Has it the length of a tar without members: two blocks at least, and not more than any tool pads with?
fn is_whole(length: u64) -> bool {
    (1024..=MAX_EMPTY).contains(&length) && length.is_multiple_of(512)
}

/// Are archives unpacked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpack {
    Off,
    Auto,
    As(Format),
}

impl Word for Unpack {
    const FORM: &'static str = "auto, zip, tar, tar.gz, tar.zst, tar.xz, tar.bz2, gz, zst, xz, bz2 or off";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("true", Self::Auto),
        ("zip", Self::As(Format::Zip)),
        ("jar", Self::As(Format::Zip)),
        ("war", Self::As(Format::Zip)),
        ("tar", Self::As(Format::Tar(Packing::None))),
        ("tar.gz", Self::As(Format::Tar(Packing::Gzip))),
        ("tgz", Self::As(Format::Tar(Packing::Gzip))),
        ("tar.zst", Self::As(Format::Tar(Packing::Zstd))),
        ("tar.xz", Self::As(Format::Tar(Packing::Xz))),
        ("txz", Self::As(Format::Tar(Packing::Xz))),
        ("tar.bz2", Self::As(Format::Tar(Packing::Bzip2))),
        ("tbz2", Self::As(Format::Tar(Packing::Bzip2))),
        ("gz", Self::As(Format::File(Packing::Gzip))),
        ("zst", Self::As(Format::File(Packing::Zstd))),
        ("xz", Self::As(Format::File(Packing::Xz))),
        ("bz2", Self::As(Format::File(Packing::Bzip2))),
        ("off", Self::Off),
        ("false", Self::Off),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_is_in_it() {
        for (name, unpacked, tar) in [
            ("dump.sql.gz", "dump.sql", false),
            ("model.GGUF.zst", "model.GGUF", false),
            ("app.tar.XZ", "app.tar", true),
            ("app.tgz", "app.tgz", true),
            ("data", "data", false),
            (".gz", ".gz", false),
        ] {
            let path = Path::new(name);
            assert_eq!(
                (unpacked_name(path), says_tar(path)),
                (PathBuf::from(unpacked), tar),
                "{name}"
            );
        }
    }
}
