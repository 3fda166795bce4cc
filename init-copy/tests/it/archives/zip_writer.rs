//! A zip writer that can lie about every field (PKWARE APPNOTE 6.3.10).

use std::io::Write as _;

/// Both headers tell the same unless told otherwise.
#[derive(Debug, Clone, Default)]
pub(super) struct Lies {
    pub(super) name: Option<Vec<u8>>,
    pub(super) flags: Option<u16>,
    pub(super) method: Option<u16>,
    pub(super) crc: Option<u32>,
    pub(super) size: Option<u32>,
    pub(super) compressed: Option<u32>,
    /// Of the central header only.
    pub(super) offset: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    name: Vec<u8>,
    content: Vec<u8>,
    /// The content when deflated.
    deflated: Option<Vec<u8>>,
    pub(super) flags: u16,
    pub(super) method: Option<u16>,
    pub(super) crc: Option<u32>,
    pub(super) size: Option<u32>,
    /// `st_mode`; without one, it was made on MS-DOS.
    pub(super) mode: Option<u32>,
    /// Sizes and offset in the 64-bit field.
    pub(super) wide: bool,
    /// CRC and sizes behind the data, as a writer to a pipe has them.
    pub(super) descriptor: bool,
    /// The name in UTF-8, for a name in the header that it was made for (APPNOTE 4.6.9).
    pub(super) unicode: Option<(Vec<u8>, String)>,
    pub(super) local: Lies,
    pub(super) central: Lies,
    /// Listed in the directory only.
    pub(super) without_local: bool,
}

impl Member {
    /// Stored, made on Unix, a regular file of 0644.
    pub(super) fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            content: content.as_ref().to_vec(),
            deflated: None,
            flags: 1 << 11,
            method: None,
            crc: None,
            size: None,
            mode: Some(0o100_644),
            wide: false,
            descriptor: false,
            unicode: None,
            local: Lies::default(),
            central: Lies::default(),
            without_local: false,
        }
    }

    pub(super) fn deflated(name: &str, content: impl AsRef<[u8]>) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content.as_ref()).unwrap();
        Self {
            deflated: Some(encoder.finish().unwrap()),
            ..Self::file(name, content)
        }
    }

    /// Packed in any way; `method` says which.
    pub(super) fn packed_by(method: u16, name: &str, content: &[u8], packed: Vec<u8>) -> Self {
        Self {
            deflated: Some(packed),
            method: Some(method),
            ..Self::file(name, content)
        }
    }

    /// The same but for a lie.
    pub(super) fn but(mut self, lie: impl FnOnce(&mut Self)) -> Self {
        lie(&mut self);
        self
    }

    pub(super) fn with_mode(self, mode: u32) -> Self {
        self.but(|member| member.mode = Some(mode))
    }

    pub(super) fn link(name: &str, to: &str) -> Self {
        Self::file(name, to).with_mode(0o120_777)
    }

    fn packed(&self) -> &[u8] {
        self.deflated.as_ref().unwrap_or(&self.content)
    }

    fn sum(&self) -> u32 {
        self.crc.unwrap_or_else(|| crc32fast::hash(&self.content))
    }

    /// Flags, method, time, date, CRC, sizes, length of the name: what both headers have.
    fn common(&self, lies: &Lies, packed: u32, hidden: bool) -> Vec<u8> {
        let method = self.method.unwrap_or(if self.deflated.is_some() { 8 } else { 0 });
        let size = self.size.unwrap_or(u32::try_from(self.content.len()).unwrap());
        let flags = self.flags | if self.descriptor { 1 << 3 } else { 0 };
        let shown = |value: u32, wide: bool| match (hidden, wide) {
            (true, _) => 0,
            (_, true) => u32::MAX,
            _ => value,
        };
        let mut bytes = Vec::new();
        bytes.extend(lies.flags.unwrap_or(flags).to_le_bytes());
        bytes.extend(lies.method.unwrap_or(method).to_le_bytes());
        bytes.extend([0, 0, 0x21, 0x50]);
        bytes.extend(lies.crc.unwrap_or(shown(self.sum(), false)).to_le_bytes());
        bytes.extend(lies.compressed.unwrap_or(shown(packed, self.wide)).to_le_bytes());
        bytes.extend(lies.size.unwrap_or(shown(size, self.wide)).to_le_bytes());
        let name = lies.name.as_ref().unwrap_or(&self.name);
        bytes.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        bytes
    }

    fn wide_field(&self, packed: u32, offset: Option<u32>) -> Vec<u8> {
        if !self.wide {
            return Vec::new();
        }
        let size = u32::try_from(self.content.len()).unwrap();
        let values: Vec<_> = [Some(size), Some(packed), offset].into_iter().flatten().collect();
        let mut field = vec![1, 0];
        field.extend(u16::try_from(values.len() * 8).unwrap().to_le_bytes());
        field.extend(values.iter().flat_map(|value| u64::from(*value).to_le_bytes()));
        field
    }

    /// Local header, data, descriptor.
    pub(super) fn local(&self) -> Vec<u8> {
        let data = self.packed();
        let packed = u32::try_from(data.len()).unwrap();
        let extra = if self.descriptor {
            Vec::new()
        } else {
            self.wide_field(packed, None)
        };
        let mut bytes = b"PK\x03\x04\x2d\0".to_vec();
        bytes.extend(self.common(&self.local, packed, self.descriptor));
        bytes.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        bytes.extend(self.local.name.as_ref().unwrap_or(&self.name));
        bytes.extend(extra);
        bytes.extend(data);
        if self.descriptor {
            bytes.extend(b"PK\x07\x08");
            bytes.extend(self.sum().to_le_bytes());
            bytes.extend(packed.to_le_bytes());
            bytes.extend(u32::try_from(self.content.len()).unwrap().to_le_bytes());
        }
        bytes
    }

    fn central(&self, offset: u32) -> Vec<u8> {
        let packed = u32::try_from(self.packed().len()).unwrap();
        let offset = self.central.offset.unwrap_or(offset);
        let mut extra = self.wide_field(packed, Some(offset));
        if let Some((of, name)) = &self.unicode {
            extra.extend([0x75, 0x70]);
            extra.extend(u16::try_from(5 + name.len()).unwrap().to_le_bytes());
            extra.push(1);
            extra.extend(crc32fast::hash(of).to_le_bytes());
            extra.extend(name.as_bytes());
        }
        let mut bytes = b"PK\x01\x02\x2d".to_vec();
        bytes.extend([if self.mode.is_some() { 3 } else { 0 }, 0x2d, 0]);
        bytes.extend(self.common(&self.central, packed, false));
        bytes.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend((self.mode.unwrap_or(0) << 16).to_le_bytes());
        bytes.extend(if self.wide { u32::MAX } else { offset }.to_le_bytes());
        bytes.extend(self.central.name.as_ref().unwrap_or(&self.name));
        bytes.extend(extra);
        bytes
    }
}

/// A whole zip.
pub(super) fn zip(members: &[Member]) -> Vec<u8> {
    let (mut bytes, directory) = parts(members);
    let at = bytes.len();
    bytes.extend(&directory);
    bytes.extend(end_record(members.len(), directory.len(), at));
    bytes
}

/// The same with the 64-bit end record.
pub(super) fn zip64(members: &[Member]) -> Vec<u8> {
    let (mut bytes, directory) = parts(members);
    let at = bytes.len();
    bytes.extend(&directory);
    let end = bytes.len() as u64;
    let count = members.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for number in [count, count, directory.len() as u64, at as u64] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(end.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0, 0]);
    bytes
}

fn parts(members: &[Member]) -> (Vec<u8>, Vec<u8>) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        directory.extend(member.central(u32::try_from(bytes.len()).unwrap()));
        if !member.without_local {
            bytes.extend(member.local());
        }
    }
    (bytes, directory)
}

/// Without a comment.
pub(super) fn end_record(count: usize, length: usize, at: usize) -> Vec<u8> {
    let count = u16::try_from(count).unwrap().to_le_bytes();
    let mut bytes = b"PK\x05\x06\0\0\0\0".to_vec();
    bytes.extend([count, count].concat());
    bytes.extend(u32::try_from(length).unwrap().to_le_bytes());
    bytes.extend(u32::try_from(at).unwrap().to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
