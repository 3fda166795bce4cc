//! Permission bits as `chmod` writes them: `0640`, or `u=rwX,g=rX,o=`.
//!
//! Source: POSIX.1-2024, chmod, "extended description", without `s` and `t`: what is copied never gets special bits.

use pod_contract::config::{Setting, Shape};

/// A change of permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModeChange {
    Absolute(u32),
    Symbolic(Vec<Clause>),
}

/// `g+rX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    /// The three bits of each class that is meant: 0o700, 0o070, 0o007.
    who: u32,
    /// Without a class, the umask keeps its bits.
    masked: bool,
    operator: Operator,
    /// Bits in each class.
    bits: u32,
    /// `X`: execute for directories, and for files that somebody may execute already.
    execute_if: bool,
    /// `g=u`: the bits of another class, as its mask.
    copy_of: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Set,
}

impl ModeChange {
    /// The new bits of something that has `mode`.
    pub(crate) fn apply(&self, mode: u32, is_dir: bool, umask: u32) -> u32 {
        match self {
            Self::Absolute(mode) => *mode,
            Self::Symbolic(clauses) => clauses
                .iter()
                .fold(mode & 0o777, |mode, clause| clause.apply(mode, is_dir, umask)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_dir: bool, umask: u32) -> u32 {
        let mut bits = self.bits;
        if self.execute_if && (is_dir || mode & 0o111 != 0) {
            bits |= 0o111;
        }
        if let Some(class) = self.copy_of {
            let shift = class.trailing_zeros();
            bits |= ((mode & class) >> shift) * 0o111;
        }
        let bits = bits & self.who & if self.masked { !umask } else { 0o777 };
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => (mode & !self.who) | bits,
        }
    }
}

impl Setting for ModeChange {
    const FORM: &'static str = "a mode such as 0640, u=rwX,g=rX,o= or g+rX";
    const SHAPE: Shape = Shape::Scalar;

    fn parse(text: &str) -> Result<Self, String> {
        if text.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).map_err(|_| "it is not an octal number".to_owned())?;
            return if mode <= 0o777 {
                Ok(Self::Absolute(mode))
            } else {
                Err("special bits are not given to copies".into())
            };
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            parse_clauses(part, &mut clauses)?;
        }
        Ok(Self::Symbolic(clauses))
    }
}

fn parse_clauses(part: &str, clauses: &mut Vec<Clause>) -> Result<(), String> {
    let start = part
        .find(['+', '-', '='])
        .ok_or_else(|| format!("{part:?} has none of + - ="))?;
    let mut who = 0;
    for class in part[..start].chars() {
        who |= class_mask(class).ok_or_else(|| format!("{class:?} is none of u, g, o, a"))?;
    }
    let masked = who == 0;
    let who = if masked { 0o777 } else { who };
    let mut rest = &part[start..];
    while let Some(sign) = rest.chars().next() {
        let operator = match sign {
            '+' => Operator::Add,
            '-' => Operator::Remove,
            _ => Operator::Set,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        let mut clause = Clause {
            who,
            masked,
            operator,
            bits: 0,
            execute_if: false,
            copy_of: None,
        };
        for permission in rest[1..end].chars() {
            match permission {
                'r' => clause.bits |= 0o444,
                'w' => clause.bits |= 0o222,
                'x' => clause.bits |= 0o111,
                'X' => clause.execute_if = true,
                's' | 't' => return Err("special bits are not given to copies".into()),
                other => match class_mask(other) {
                    Some(mask) if other != 'a' => clause.copy_of = Some(mask),
                    _ => return Err(format!("{other:?} is none of r, w, x, X, u, g, o")),
                },
            }
        }
        clauses.push(clause);
        rest = &rest[end..];
    }
    Ok(())
}

fn class_mask(class: char) -> Option<u32> {
    match class {
        'u' => Some(0o700),
        'g' => Some(0o070),
        'o' => Some(0o007),
        'a' => Some(0o777),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_those_of_chmod() {
        // text, before, is a directory, after; with umask 022. Each was compared with GNU chmod.
        for (text, before, is_dir, after) in [
            ("0640", 0o777, false, 0o640),
            ("7", 0o640, false, 0o007),
            ("u=rwX,g=rX,o=", 0o644, false, 0o640),
            ("u=rwX,g=rX,o=", 0o755, false, 0o750),
            ("u=rwX,g=rX,o=", 0o600, true, 0o750),
            ("g+rX", 0o600, false, 0o640),
            ("g+rX", 0o700, false, 0o750),
            ("a-w", 0o666, false, 0o444),
            ("+w", 0o444, false, 0o644),
            ("=r", 0o777, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("go=", 0o777, true, 0o700),
            ("u+x-w", 0o600, false, 0o500),
            ("a=rX", 0o611, false, 0o555),
            ("o=g-w", 0o660, false, 0o664),
        ] {
            let change = ModeChange::parse(text).unwrap();
            assert_eq!(change.apply(before, is_dir, 0o022), after, "{text} of {before:o}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "", "u", "8", "1777", "4755", "u+s", "+t", "z+r", "u=q", "u=r,,g=r", "g=a",
        ] {
            assert!(ModeChange::parse(bad).is_err(), "{bad:?}");
        }
    }
}
