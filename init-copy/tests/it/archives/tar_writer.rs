//! Tar headers by hand (POSIX.1-2024, pax, "ustar Interchange Format").

const BLOCK: usize = 512;

/// A header that says what it is told, with a right checksum.
#[derive(Debug, Clone)]
pub(super) struct Header([u8; BLOCK]);

impl Header {
    pub(super) fn new(name: impl AsRef<[u8]>, kind: u8, size: u64) -> Self {
        let mut block = [0; BLOCK];
        let name = name.as_ref();
        block[..name.len()].copy_from_slice(name);
        block[100..108].copy_from_slice(b"0000644\0");
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        Self(block).size(format!("{size:011o}\0").as_bytes())
    }

    /// The size as it is written, in whatever digits.
    pub(super) fn size(mut self, field: &[u8]) -> Self {
        self.0[124..136].copy_from_slice(field);
        self.seal()
    }

    pub(crate) fn link(mut self, to: &str) -> Self {
        self.0[157..157 + to.len()].copy_from_slice(to.as_bytes());
        self.seal()
    }

    /// Any other field.
    pub(super) fn field(mut self, at: usize, bytes: &[u8]) -> Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self.seal()
    }

    fn seal(mut self) -> Self {
        self.0[148..156].fill(b' ');
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.0[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self
    }
}

/// A member with its padding, and a header that tells its size rightly.
pub(crate) fn member(name: impl AsRef<[u8]>, kind: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    with(&Header::new(name, kind, content.len() as u64), content)
}

/// A header and whatever follows it, padded.
pub(super) fn with(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = header.0.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// A link of either kind.
pub(crate) fn link(name: &str, kind: u8, to: &str) -> Vec<u8> {
    with(&Header::new(name, kind, 0).link(to), b"")
}

/// A PAX header with these records.
pub(super) fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
    member("PaxHeaders/x", b'x', text)
}

/// The length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let digits = (1..9).find(|digits| (rest.len() + digits).to_string().len() == *digits);
    format!("{}{rest}", rest.len() + digits.unwrap())
}

/// The members, and the end mark.
pub(crate) fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend([0; 2 * BLOCK]);
    bytes
}
