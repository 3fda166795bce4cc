//! Lines as container runtimes write them: `TIME STREAM TAGS TEXT`, where the first tag is `P` for a part of a line and `F` for its end.
//! Source: <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/logs/logs.go>, `parseCRILog`.

use memchr::memchr;

/// What stands before the text of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'l> {
    pub(crate) stream: &'l str,
    /// The text goes on in the next line of this stream.
    pub(crate) is_partial: bool,
    /// Where the text begins.
    pub(crate) length: usize,
}

impl<'l> Head<'l> {
    pub(crate) fn of(line: &'l [u8]) -> Option<Self> {
        let mut at = 0;
        let mut word = || {
            let rest = line.get(at..)?;
            let end = memchr(b' ', rest).unwrap_or(rest.len());
            at += end + 1;
            Some(&rest[..end])
        };
        let (time, stream, tags) = (word()?, word()?, word()?);
        let stream = match stream {
            b"stdout" => "stdout",
            b"stderr" => "stderr",
            _ => return None,
        };
        let is_time = time.len() >= 20 && time[0].is_ascii_digit() && time[10] == b'T';
        let is_partial = match tags.split(|&byte| byte == b':').next()? {
            b"P" => true,
            b"F" => false,
            _ => return None,
        };
        is_time.then_some(Self {
            stream,
            is_partial,
            length: at.min(line.len()),
        })
    }
}

/// Puts the texts of joined lines behind the head of the first, in their place; returns how long that is.
pub(crate) fn compact(joined: &mut [u8]) -> usize {
    let Some((mut to, head)) = memchr(b'\n', joined).zip(Head::of(joined)) else {
        return joined.len();
    };
    let (mut from, mut is_partial) = (to + 1, head.is_partial);
    while from < joined.len() {
        let end = memchr(b'\n', &joined[from..]).map_or(joined.len(), |end| from + end);
        let (length, goes_on) = Head::of(&joined[from..end]).map_or((0, false), |head| (head.length, head.is_partial));
        // Whole lines that another rule has joined stay lines.
        if !is_partial {
            joined[to] = b'\n';
            to += 1;
        }
        is_partial = goes_on;
        joined.copy_within(from + length..end, to);
        to += end - from - length;
        from = end + 1;
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_a_time_a_stream_and_tags() {
        let time = "2026-11-26T10:00:00.123456789Z";
        for (line, expected) in [
            ("stdout F text", Some(("stdout", false, "text"))),
            ("stderr P  two  ", Some(("stderr", true, " two  "))),
            ("stdout P:x text", Some(("stdout", true, "text"))),
            ("stdout F ", Some(("stdout", false, ""))),
            ("stdout F", Some(("stdout", false, ""))),
            ("stdin F text", None),
            ("stdout X text", None),
            ("stdout", None),
        ] {
            let line = format!("{time} {line}");
            let found = Head::of(line.as_bytes());
            let found = found.map(|head| (head.stream, head.is_partial, &line[head.length..]));
            assert_eq!(found, expected, "{line}");
        }
        for line in ["", " ", "stdout F text", "2026-11-26 10:00:00 stdout F text"] {
            assert_eq!(Head::of(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn texts_of_joined_lines_come_together() {
        let line = |tag: &str, text: &str| format!("2026-11-26T10:00:00.123456789Z stdout {tag} {text}");
        for (lines, expected) in [
            (vec![line("F", "one")], line("F", "one")),
            (
                vec![line("P", "one "), line("P", ""), line("F", "two")],
                line("P", "one two"),
            ),
            (vec![line("P", "one"), "no head".into()], line("P", "oneno head")),
            (
                vec![line("F", "one"), line("F", " at x"), line("P", " at "), line("F", "y")],
                line("F", "one\n at x\n at y"),
            ),
            (
                vec!["no head".into(), line("F", "x")],
                format!("no head\n{}", line("F", "x")),
            ),
        ] {
            let mut joined = lines.join("\n").into_bytes();
            let length = compact(&mut joined);
            assert_eq!(String::from_utf8_lossy(&joined[..length]), expected);
        }
    }
}
