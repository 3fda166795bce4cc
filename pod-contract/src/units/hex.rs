//! Bytes as people and protocols write them.

/// In hexadecimal digits, lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|&byte| hex_digits(byte))
        .map(char::from)
        .collect()
}

/// The two of one byte, in ASCII.
pub fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}
