//! Digests as people write them: hexadecimal, subresource integrity, and the files of `sha256sum` in both of its styles.
//!
//! Sources: coreutils manual, "cksum output modes" (GNU and BSD style); W3C Subresource Integrity, section 3.5.

use std::fmt;

use pod_contract::units::hex;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::error::{DIGEST, Error};

/// A checksum file with more lines than fit here is not one.
pub(crate) const MAX_FILE: u64 = 4 << 20;

/// The digest that content has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl Expected {
    /// `sha256:HEX`, `sha256-BASE64` (subresource integrity; of several, the strongest counts), or HEX of a known length.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some((name, digits)) = text.split_once(':') {
            let algorithm = by_name(name)?;
            return from_hex(digits, Some(algorithm));
        }
        if text.contains('-') {
            return from_integrity(text);
        }
        from_hex(text, None)
    }

    /// The digest that a checksum file gives for `name` (its last component counts); a file with nothing but a digest is for any name.
    pub fn from_file(text: &str, name: &str) -> Result<Self, String> {
        let mut found: Option<Self> = None;
        let mut lines = 0;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            lines += 1;
            let Some((digest, listed)) = line_of(line) else {
                continue;
            };
            let same = match &listed {
                Some(listed) => listed.rsplit('/').next() == name.rsplit('/').next(),
                None => true,
            };
            if !same {
                continue;
            }
            match &found {
                Some(other) if other.algorithm == digest.algorithm && *other != digest => {
                    return Err(format!("it lists {name} twice, with different digests"));
                }
                Some(other) if other.algorithm.length() >= digest.algorithm.length() => {}
                _ => found = Some(digest),
            }
        }
        found.ok_or_else(|| format!("none of its {lines} lines is a SHA-2 digest of {name}"))
    }

    pub(crate) fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha384 => Hasher::Sha384(Sha384::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// Is it this one? The error names both.
    pub(crate) fn verify(&self, found: &[u8]) -> Result<(), String> {
        if self.bytes == found {
            Ok(())
        } else {
            Err(format!(
                "its digest is {}:{}, expected {self}",
                self.algorithm.name(),
                hex(found)
            ))
        }
    }
}

impl pod_contract::config::Setting for Expected {
    const FORM: &'static str = "sha256:HEX, sha256-BASE64, or HEX with 64, 96 or 128 digits";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), hex(&self.bytes))
    }
}

/// Takes bytes and yields their digest.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hasher {
    pub(crate) fn sha256() -> Self {
        Self::Sha256(Sha256::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(h) => h.update(bytes),
            Self::Sha384(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Sha256(h) => h.finalize().to_vec(),
            Self::Sha384(h) => h.finalize().to_vec(),
            Self::Sha512(h) => h.finalize().to_vec(),
        }
    }
}

/// All that `file` holds, from its start, through `hasher`.
pub(crate) fn digest(file: &std::fs::File, mut hasher: Hasher) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut buffer = vec![0; crate::content::BUFFER];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at) {
            Ok(0) => return Ok(hasher.finish()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                at += read as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn by_name(name: &str) -> Result<Algorithm, String> {
    let plain = name.to_ascii_lowercase().replace('-', "");
    Algorithm::ALL
        .into_iter()
        .find(|a| a.name() == plain)
        .ok_or_else(|| format!("{name:?} is none of sha256, sha384, sha512"))
}

fn from_hex(digits: &str, algorithm: Option<Algorithm>) -> Result<Expected, String> {
    let of_length = Algorithm::ALL.into_iter().find(|a| a.length() * 2 == digits.len());
    let algorithm = algorithm
        .or(of_length)
        .ok_or_else(|| format!("it has {} digits", digits.len()))?;
    if digits.len() != algorithm.length() * 2 {
        return Err(format!(
            "{} has {} digits, not {}",
            algorithm.name(),
            algorithm.length() * 2,
            digits.len()
        ));
    }
    let value = |byte: u8| (byte as char).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let bytes = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect::<Option<_>>()
        .ok_or("it is not hexadecimal")?;
    Ok(Expected { algorithm, bytes })
}

fn from_integrity(text: &str) -> Result<Expected, String> {
    use base64::Engine as _;
    let mut best: Option<Expected> = None;
    for token in text.split_ascii_whitespace() {
        let (name, rest) = token.split_once('-').ok_or("it is not of the form sha256-BASE64")?;
        let algorithm = by_name(name)?;
        let base64 = rest.split('?').next().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(base64)
            .map_err(|e| format!("it is not base64: {e}"))?;
        if bytes.len() != algorithm.length() {
            return Err(format!("{name} has {} bytes, not {}", algorithm.length(), bytes.len()));
        }
        if best.as_ref().is_none_or(|b| b.algorithm.length() < algorithm.length()) {
            best = Some(Expected { algorithm, bytes });
        }
    }
    best.ok_or_else(|| "it is empty".into())
}

/// One line of a checksum file: the digest and the file's name, if it has one.
fn line_of(line: &str) -> Option<(Expected, Option<String>)> {
    // BSD: SHA256 (name) = HEX
    if let Some((name, rest)) = line.split_once(" (")
        && let Some((file, digits)) = rest.rsplit_once(") = ")
    {
        let algorithm = by_name(name).ok()?;
        return Some((from_hex(digits.trim(), Some(algorithm)).ok()?, Some(file.to_owned())));
    }
    // GNU: HEX, a space, a space or *, name; a backslash in front says that the name is escaped.
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    match line.split_once([' ', '\t']) {
        None => Some((from_hex(line, None).ok()?, None)),
        Some((digits, name)) => {
            let name = name.trim_start();
            let name = name.strip_prefix('*').unwrap_or(name);
            let name = if escaped { unescape(name) } else { name.to_owned() };
            Some((from_hex(digits, None).ok()?, Some(name)))
        }
    }
}

fn unescape(name: &str) -> String {
    let mut plain = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => {}
            },
            (c, false) => plain.push(c),
        }
    }
    plain
}

/// The content is not the one asked for.
pub(crate) fn mismatch(label: &str, why: &str) -> Error {
    Error::new(
        DIGEST,
        format!("{label} is not what was asked for: {why}"),
        "either the content was changed, or the digest is that of another version; nothing of it was published",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn every_style_means_the_same_digest() {
        let expected = Expected::parse(EMPTY).unwrap();
        expected.verify(&expected.hasher().finish()).unwrap();
        for text in [
            format!("sha256:{EMPTY}"),
            EMPTY.to_uppercase(),
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
        ] {
            assert_eq!(Expected::parse(&text), Ok(expected.clone()), "{text}");
        }
        for line in [
            format!("{EMPTY}  app.war"),
            format!("{EMPTY} *dist/app.war"),
            format!("SHA256 (app.war) = {EMPTY}"),
            format!("# comment\n\n{EMPTY}\n"),
            format!("{}  other.war\n{EMPTY}  app.war", EMPTY.replace('e', "f")),
            format!("\\{EMPTY}  app.war"),
        ] {
            assert_eq!(Expected::from_file(&line, "app.war"), Ok(expected.clone()), "{line}");
        }
        let odd = format!("\\{EMPTY}  a\\nb\\\\c");
        assert_eq!(Expected::from_file(&odd, "a\nb\\c"), Ok(expected));
    }

    #[test]
    fn the_strongest_integrity_counts() {
        let sha512 = Hasher::Sha512(Sha512::new()).finish();
        let text = format!(
            "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= sha512-{}",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &sha512)
        );
        Expected::parse(&text).unwrap().verify(&sha512).unwrap();
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for bad in [
            "",
            "abc",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha256:00",
            "sha256-AAAA",
            "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        ] {
            assert!(Expected::parse(bad).is_err(), "{bad:?}");
        }
        let zeros = "0".repeat(64);
        for (text, words) in [
            ("", "none of its 0 lines"),
            ("d41d8cd98f00b204e9800998ecf8427e  app.war", "none of its 1 lines"),
            (&format!("{EMPTY}  app.war\n{zeros}  app.war"), "twice"),
        ] {
            let error = Expected::from_file(text, "app.war").unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
