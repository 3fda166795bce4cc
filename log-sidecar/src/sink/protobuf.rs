//! The wire format of Protocol Buffers, as far as it is needed: <https://protobuf.dev/programming-guides/encoding/>.

/// Fields of a message, appended to what is there.
pub(super) trait Fields {
    fn varint(&mut self, value: u64);
    /// A string, bytes, or a message that is encoded already.
    fn bytes(&mut self, field: u32, value: &[u8]);
    /// The head of a message of `length` bytes, which are to follow.
    fn message(&mut self, field: u32, length: usize);
    fn fixed64(&mut self, field: u32, value: u64);
    /// An integer, a truth value, or a word of an enumeration.
    fn number(&mut self, field: u32, value: u64);
}

const LENGTH_DELIMITED: u32 = 2;
const FIXED64: u32 = 1;

impl Fields for Vec<u8> {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.message(field, value.len());
        self.extend_from_slice(value);
    }

    fn message(&mut self, field: u32, length: usize) {
        self.varint(u64::from(field << 3 | LENGTH_DELIMITED));
        self.varint(length as u64);
    }

    fn fixed64(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3 | FIXED64));
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field << 3));
        self.varint(value);
    }
}

/// Bytes of a varint.
fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Bytes of a field of up to 15 that holds `length` bytes.
pub(super) fn size_of_bytes(length: usize) -> usize {
    1 + varint_size(length as u64) + length
}

/// Bytes of a `fixed64` of up to 15.
pub(super) const SIZE_OF_FIXED64: usize = 9;
/// The same, of a number below 128.
pub(super) const SIZE_OF_SMALL: usize = 2;

/// The value of a varint, and what follows it.
fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

/// The value of a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'v> {
    Number(u64),
    Bytes(&'v [u8]),
}

/// The next field of a message, and what follows it; `None` at the end, or if it is no message.
pub(super) fn take_field(message: &[u8]) -> Option<(u64, Value<'_>, &[u8])> {
    let (key, rest) = take_varint(message)?;
    let (value, rest) = match key & 7 {
        0 => take_varint(rest).map(|(number, rest)| (Value::Number(number), rest))?,
        1 => rest
            .split_at_checked(8)
            .map(|(value, rest)| (Value::Bytes(value), rest))?,
        2 => {
            let (length, rest) = take_varint(rest)?;
            rest.split_at_checked(usize::try_from(length).ok()?)
                .map(|(value, rest)| (Value::Bytes(value), rest))?
        }
        5 => rest
            .split_at_checked(4)
            .map(|(value, rest)| (Value::Bytes(value), rest))?,
        _ => return None,
    };
    Some((key >> 3, value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u64, text: Vec<u8>, field in 1u32..16) {
            let mut message = Vec::new();
            message.varint(number);
            prop_assert_eq!(message.len(), varint_size(number));
            prop_assert_eq!(take_varint(&message), Some((number, &[][..])));
            message.clear();
            message.bytes(field, &text);
            prop_assert_eq!(message.len(), size_of_bytes(text.len()));
            let length = message.len();
            message.fixed64(field, number);
            prop_assert_eq!(message.len() - length, SIZE_OF_FIXED64);
            let (found, value, rest) = take_field(&message).unwrap();
            prop_assert_eq!((found, value), (u64::from(field), Value::Bytes(&text)));
            prop_assert_eq!(take_field(rest), Some((u64::from(field), Value::Bytes(&number.to_le_bytes()), &[][..])));
        }

        #[test]
        fn whatever_comes_is_read_to_its_end(bytes: Vec<u8>) {
            let mut rest = bytes.as_slice();
            while let Some((_, _, after)) = take_field(rest) {
                prop_assert!(after.len() < rest.len());
                rest = after;
            }
        }
    }
}
