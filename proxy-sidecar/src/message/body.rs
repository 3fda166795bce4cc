//! Where a body ends, byte by byte; no I/O. Chunked coding: RFC 9112, section 7.1.

use super::head::{Framing, MAX_FIELDS, is_forbidden_trailer};

/// A chunk's size line with extensions; longer is an attack.
const MAX_CHUNK_LINE: usize = 256;
/// All trailers together.
const MAX_TRAILERS: usize = 8 * 1024;

/// Reads one body. It is never ahead of the bytes that were taken from the input: whoever stops in the middle can go on there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoder(State);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The end was told.
    Over,
    /// All content was taken.
    Done,
    Length(u64),
    UntilClose,
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers,
}

/// What a step found at the start of its input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So much of the input is content; say how much of it was [taken](Decoder::take).
    Data(usize),
    /// Framing without content; consume so much.
    Skip(usize),
    /// The body has ended, with these trailers (encoded fields); consume so much. This is told once.
    End { consumed: usize, trailers: Vec<u8> },
    /// There is nothing after the end.
    Over,
    /// More input is needed.
    More,
}

/// The coding is broken: nothing after it can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a chunk size is not a hexadecimal number")]
    ChunkSize,
    #[error("a chunk does not end with CR LF")]
    ChunkEnd,
    #[error("a chunk line is longer than {MAX_CHUNK_LINE} bytes")]
    ChunkLine,
    #[error("trailers are malformed or longer than {MAX_TRAILERS} bytes")]
    Trailers,
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Does the end of the stream end the body properly here?
    pub(crate) fn ends_with_stream(&self) -> bool {
        self.0 == State::UntilClose
    }

    /// All of the body was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done | State::Over)
    }

    /// How much content is left, where its length was told before.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// How long the rest of the body is, when all of it is in `input`.
    pub(crate) fn skip(mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            at += match self.step(&input[at..]).ok()? {
                Step::Data(count) => {
                    self.take(count as u64);
                    count
                }
                Step::Skip(count) => count,
                Step::End { consumed, .. } => return Some(at + consumed),
                Step::Over => return Some(at),
                Step::More => return None,
            }
        }
    }

    /// Looks at the start of `input`.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        match self.0 {
            State::Over => Ok(Step::Over),
            State::Done => {
                self.0 = State::Over;
                Ok(Step::End {
                    consumed: 0,
                    trailers: Vec::new(),
                })
            }
            _ if input.is_empty() => Ok(Step::More),
            State::UntilClose => Ok(Step::Data(input.len())),
            State::Length(left) | State::ChunkData(left) => Ok(Step::Data(
                usize::try_from(left).map_or(input.len(), |left| left.min(input.len())),
            )),
            State::ChunkSize => self.chunk_size(input),
            State::ChunkEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.0 = State::ChunkSize;
                    Ok(Step::Skip(2))
                }
                [b'\r'] => Ok(Step::More),
                _ => Err(Malformed::ChunkEnd),
            },
            State::Trailers => self.trailers(input),
        }
    }

    /// So much content was taken from the input; not more than [`Decoder::step`] told.
    pub(crate) fn take(&mut self, count: u64) {
        self.0 = match self.0 {
            State::Length(left) if left == count => State::Done,
            State::Length(left) => State::Length(left - count),
            State::ChunkData(left) if left == count => State::ChunkEnd,
            State::ChunkData(left) => State::ChunkData(left - count),
            _ => return,
        };
    }

    fn chunk_size(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        let Some(lf) = memchr::memchr(b'\n', &input[..input.len().min(MAX_CHUNK_LINE)]) else {
            return if input.len() >= MAX_CHUNK_LINE {
                Err(Malformed::ChunkLine)
            } else {
                Ok(Step::More)
            };
        };
        let line = input[..lf].strip_suffix(b"\r").ok_or(Malformed::ChunkSize)?;
        // Extensions are for the hop: they are read over, and must not hide a line end of their own.
        let digits = line
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default()
            .trim_ascii_end();
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) || line.contains(&b'\r')
        {
            return Err(Malformed::ChunkSize);
        }
        let size = std::str::from_utf8(digits)
            .ok()
            .and_then(|d| u64::from_str_radix(d, 16).ok())
            .ok_or(Malformed::ChunkSize)?;
        self.0 = if size == 0 {
            State::Trailers
        } else {
            State::ChunkData(size)
        };
        Ok(Step::Skip(lf + 1))
    }

    fn trailers(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        if input.starts_with(b"\r\n") {
            self.0 = State::Over;
            return Ok(Step::End {
                consumed: 2,
                trailers: Vec::new(),
            });
        }
        let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
            return if input.len() > MAX_TRAILERS {
                Err(Malformed::Trailers)
            } else {
                Ok(Step::More)
            };
        };
        let consumed = end + 4;
        if consumed > MAX_TRAILERS {
            return Err(Malformed::Trailers);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let block = &input[..consumed];
        let bare = memchr::memchr_iter(b'\n', block).any(|lf| lf == 0 || block[lf - 1] != b'\r');
        let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(block, &mut fields) else {
            return Err(Malformed::Trailers);
        };
        if bare {
            return Err(Malformed::Trailers);
        }
        let mut trailers = Vec::new();
        for field in fields.iter().filter(|field| !is_forbidden_trailer(field.name)) {
            trailers.extend_from_slice(field.name.as_bytes());
            trailers.extend_from_slice(b": ");
            trailers.extend_from_slice(field.value);
            trailers.extend_from_slice(b"\r\n");
        }
        self.0 = State::Over;
        Ok(Step::End { consumed, trailers })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Content, trailers, and what follows the body.
    type Decoded = (Vec<u8>, Vec<u8>, Vec<u8>);

    /// Decodes `input` as it arrives in pieces of `piece` bytes; none when it does not end.
    fn decode(framing: Framing, input: &[u8], piece: usize) -> Result<Option<Decoded>, Malformed> {
        let (mut decoder, mut content, mut waiting) = (Decoder::new(framing), Vec::new(), Vec::new());
        let mut pieces = input.chunks(piece.max(1));
        loop {
            match decoder.step(&waiting)? {
                Step::Data(count) => {
                    // Not all that could be taken is.
                    let count = count.min(piece.max(1));
                    content.extend(waiting.drain(..count));
                    decoder.take(count as u64);
                }
                Step::Skip(count) => drop(waiting.drain(..count)),
                Step::End { consumed, trailers } => {
                    waiting.drain(..consumed);
                    assert_eq!(decoder.step(&waiting), Ok(Step::Over), "told once");
                    waiting.extend(pieces.flatten());
                    return Ok(Some((content, trailers, waiting)));
                }
                Step::Over => unreachable!("the end was not told"),
                Step::More => match pieces.next() {
                    Some(piece) => waiting.extend_from_slice(piece),
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        let input = b"5\r\nhello\r\n6;ext=\"a\"\r\n world\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\nGET /";
        for piece in [1, 2, 3, 7, 100] {
            let (content, trailers, rest) = decode(Framing::Chunked, input, piece).unwrap().unwrap();
            assert_eq!(
                (&content[..], &trailers[..], &rest[..]),
                (&b"hello world"[..], &b"X-Sum: 1\r\n"[..], &b"GET /"[..]),
                "{piece}"
            );
        }
    }

    #[test]
    fn a_body_that_is_in_hand_can_be_skipped() {
        for (framing, input, length) in [
            (Framing::None, &b"GET /"[..], Some(0)),
            (Framing::Length(3), b"abcGET /", Some(3)),
            (Framing::Length(3), b"ab", None),
            (Framing::Chunked, b"2\r\nab\r\n0\r\n\r\nGET /", Some(12)),
            (Framing::Chunked, b"2\r\nab\r\n0\r\n", None),
            (Framing::Chunked, b"x", None),
        ] {
            assert_eq!(Decoder::new(framing).skip(input), length, "{framing:?} {input:?}");
        }
    }

    #[test]
    fn a_length_ends_exactly() {
        for (length, rest) in [(0, &b"abc"[..]), (2, b"c"), (3, b"")] {
            assert_eq!(decode(Framing::Length(length), b"abc", 1).unwrap().unwrap().2, rest);
        }
        assert_eq!(decode(Framing::Length(4), b"abc", 1), Ok(None));
    }

    #[test]
    fn broken_chunks_are_refused() {
        for (input, error) in [
            (&b"\r\n"[..], Malformed::ChunkSize),
            (b"g\r\n", Malformed::ChunkSize),
            (b"-1\r\n", Malformed::ChunkSize),
            (b"+5\r\nhello", Malformed::ChunkSize),
            (b"0x5\r\nhello", Malformed::ChunkSize),
            (b" 5\r\nhello", Malformed::ChunkSize),
            (b"5\nhello", Malformed::ChunkSize),
            (b"5;a\rb\r\nhello", Malformed::ChunkSize),
            (b"11111111111111111\r\n", Malformed::ChunkSize),
            (b"5\r\nhello5\r\n", Malformed::ChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", Malformed::ChunkEnd),
            (b"0\r\nA: b\nC: d\r\n\r\n", Malformed::Trailers),
            (b"0\r\n A: b\r\n\r\n", Malformed::Trailers),
        ] {
            assert_eq!(decode(Framing::Chunked, input, 100), Err(error), "{input:?}");
        }
    }

    #[test]
    fn chunk_lines_and_trailers_have_limits() {
        let size_line = |length: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 4)).into_bytes();
        for (length, ok) in [
            (MAX_CHUNK_LINE - 1, true),
            (MAX_CHUNK_LINE, true),
            (MAX_CHUNK_LINE + 1, false),
        ] {
            assert_eq!(
                decode(Framing::Chunked, &size_line(length), 9999).is_ok(),
                ok,
                "{length}"
            );
        }
        let trailer = |length: usize| format!("0\r\nA: {}\r\n\r\n", "b".repeat(length - 7)).into_bytes();
        for (length, ok) in [
            (MAX_TRAILERS - 1, true),
            (MAX_TRAILERS, true),
            (MAX_TRAILERS + 1, false),
        ] {
            assert_eq!(
                decode(Framing::Chunked, &trailer(length), 99999).is_ok(),
                ok,
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_chunked_comes_out_whole(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..10), piece in 1usize..40) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            let (content, _, rest) = decode(Framing::Chunked, &input, piece).unwrap().unwrap();
            prop_assert_eq!(content, chunks.concat());
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_input_makes_it_panic(input in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..20) {
            let _result = decode(Framing::Chunked, &input, piece);
        }
    }
}
