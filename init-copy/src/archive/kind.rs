//! Which format an archive has.

use std::os::unix::fs::FileExt as _;

use pod_contract::config::Word;

/// The formats that are unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Zip,
    Tar,
    TarGz,
    TarZst,
}

impl Format {
    /// Told by the first bytes of a file.
    pub(crate) fn detect(file: &std::fs::File) -> std::io::Result<Option<Self>> {
        let mut head = [0; 512];
        let mut length = 0;
        while length < head.len() {
            match file.read_at(&mut head[length..], length as u64)? {
                0 => break,
                read => length += read,
            }
        }
        Ok(match &head[..length] {
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Some(Self::Zip),
            [0x1f, 0x8b, ..] => Some(Self::TarGz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::TarZst),
            head if head.len() == 512 && super::tar::is_header(head) => Some(Self::Tar),
            _ if super::zip::has_directory(file) => Some(Self::Zip),
            // Nothing but an end mark: a tar without members.
            head if head.iter().all(|&byte| byte == 0) && is_whole(file.metadata()?.len()) => Some(Self::Tar),
            _ => None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarZst => "tar.zst",
        }
    }
}

/// Has it the length of a tar: blocks, two at least?
fn is_whole(length: u64) -> bool {
    length >= 1024 && length.is_multiple_of(512)
}

/// Are archives unpacked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unpack {
    Off,
    Auto,
    As(Format),
}

impl Word for Unpack {
    const FORM: &'static str = "auto, zip, tar, tar.gz, tar.zst or off";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("true", Self::Auto),
        ("zip", Self::As(Format::Zip)),
        ("jar", Self::As(Format::Zip)),
        ("war", Self::As(Format::Zip)),
        ("tar", Self::As(Format::Tar)),
        ("tar.gz", Self::As(Format::TarGz)),
        ("tgz", Self::As(Format::TarGz)),
        ("tar.zst", Self::As(Format::TarZst)),
        ("off", Self::Off),
        ("false", Self::Off),
    ];
}
