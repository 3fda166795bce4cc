//! What is left out of what was read, and what nobody is to see of it; before anything else has it.

mod charset;
mod redact;
mod sample;

use std::mem;
use std::ops::Range;

pub(crate) use self::charset::Charset;
pub(crate) use self::redact::Redact;
pub(crate) use self::sample::Sample;
use crate::batch::{Line, Segment};
use crate::ledger::Ledger;
use crate::parse::{Expression, cri};

/// What is done to lines.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transform {
    /// What a container runtime has cut is put together, and what stands before its lines is not looked at.
    pub(crate) is_cri: bool,
    /// Of lines that are not UTF-8.
    pub(crate) charset: Option<Charset>,
    /// If there are any, only lines that one of them matches are sent.
    pub(crate) keep: Vec<Expression>,
    pub(crate) drop: Vec<Expression>,
    /// The first that matches decides.
    pub(crate) sample: Vec<Sample>,
    pub(crate) redact: Vec<Redact>,
}

impl Transform {
    /// Makes text of lines, leaves some out, and masks what is in the others, in their place: the length stays.
    pub(crate) fn apply(&self, segment: &mut Segment, ledger: &Ledger) {
        if self.is_cri {
            for line in &mut segment.lines {
                let length = cri::compact(&mut segment.data[line.range()]);
                *line = line.moved(line.start as usize, line.start as usize + length);
            }
        }
        if let Some(charset) = self.charset {
            charset.decode(segment);
        }
        if !self.keep.is_empty() || !self.drop.is_empty() || !self.sample.is_empty() {
            let before = segment.lines.len();
            self.filter(segment);
            ledger.dropped.inc_by((before - segment.lines.len()) as u64);
        }
        if self.redact.is_empty() {
            return;
        }
        let mut redacted = 0;
        for line in &segment.lines {
            let range = self.text_of(&segment.data, line);
            let text = &mut segment.data[range];
            let is_redacted = self
                .redact
                .iter()
                .fold(false, |is_redacted, redact| redact.mask(text) | is_redacted);
            redacted += u64::from(is_redacted);
        }
        ledger.redacted.inc_by(redacted);
    }

    /// Where in `data` it is what the application wrote.
    fn text_of(&self, data: &[u8], line: &Line) -> Range<usize> {
        let line = line.range();
        match cri::Head::of(&data[line.clone()]) {
            Some(head) if self.is_cri => line.start + head.length..line.end,
            _ => line,
        }
    }

    fn filter(&self, segment: &mut Segment) {
        let is_in =
            |expressions: &[Expression], text: &[u8]| expressions.iter().any(|expression| expression.is_in(text));
        let data = &segment.data;
        let is_wanted = |line: &Line| {
            let text = &data[self.text_of(data, line)];
            let sample = || self.sample.iter().find(|sample| sample.of.is_in(text));
            (self.keep.is_empty() || is_in(&self.keep, text))
                && !is_in(&self.drop, text)
                && sample().is_none_or(|sample| sample.sends(&segment.source.id, segment.offset_of(line)))
        };
        let wanted: Vec<bool> = segment.lines.iter().map(is_wanted).collect();
        let mut of_lines = wanted.iter();
        segment.lines.retain(|_| *of_lines.next().unwrap_or(&true));
        let mut of_times = wanted.iter();
        segment.times.retain(|_| *of_times.next().unwrap_or(&true));
        let mut of_ticks = wanted.iter();
        segment.ticks.retain(|_| *of_ticks.next().unwrap_or(&true));
        // Nothing of what is left out stays in memory longer than the others.
        if segment.lines.is_empty() {
            drop(mem::take(&mut segment.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pod_contract::config::Setting as _;

    use super::*;
    use crate::batch::{Batch, Mark, Source};
    use crate::identity::Inode;

    fn segment(lines: &[&str]) -> Segment {
        let (mut data, mut found) = (Vec::new(), Vec::new());
        for line in lines {
            found.push(Line::new(data.len(), data.len() + line.len(), Mark::Whole));
            data.extend_from_slice(line.as_bytes());
            data.push(b'\n');
        }
        let source = Arc::new(Source {
            id: "f".into(),
            path: "/logs/a".into(),
            inode: Inode::default(),
        });
        Segment {
            source,
            start: 0,
            end: data.len() as u64,
            base: 0,
            times: (0..).map(Some).take(found.len()).collect(),
            ticks: (0..).take(found.len()).collect(),
            data: data.into(),
            lines: found,
            may_be_known: false,
        }
    }

    #[test]
    fn lines_that_are_not_utf8_are_made_text_and_stay_where_they_are() {
        let all: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        let text = |charset| {
            let mut segment = segment(&["é", "x"]);
            let before = segment.data.len();
            segment.data.extend_from_slice(&all);
            let last = segment.data.len();
            segment.lines.insert(1, Line::new(before, last, Mark::Whole));
            let transform = Transform {
                charset,
                ..Transform::default()
            };
            transform.apply(&mut segment, &Ledger::default());
            let batch = Batch::new(vec![segment], std::time::UNIX_EPOCH);
            let of =
                |record: crate::batch::Record<'_>| (record.offset, String::from_utf8_lossy(record.text).into_owned());
            batch.records().map(of).collect::<Vec<_>>()
        };
        let latin1: String = all.iter().map(|&byte| char::from(byte)).collect();
        let found = text(Some(Charset::Latin1));
        assert_eq!(found, [(0, "é".into()), (5, latin1.clone()), (3, "x".into())]);
        let found = &text(Some(Charset::Windows1252))[1].1;
        let differ: Vec<_> = found.chars().zip(latin1.chars()).filter(|(a, b)| a != b).collect();
        assert_eq!(differ.len(), 27);
        assert!(
            differ.contains(&('€', '\u{80}')) && differ.contains(&('Ÿ', '\u{9f}')) && differ.contains(&('’', '\u{92}'))
        );
        assert!(text(None)[1].1.contains('\u{fffd}'));
    }

    #[test]
    fn what_is_left_out_is_counted_and_the_rest_stays_in_its_place() {
        let expressions = |texts: &[&str]| texts.iter().map(|text| Expression::parse(text).unwrap()).collect();
        for (keep, drop, left) in [
            (vec![], vec!["/health/"], vec![(0, "GET /a"), (2, "POST /b")]),
            (vec!["/GET/"], vec![], vec![(0, "GET /a"), (1, "GET /health")]),
            (vec!["/GET/", "/POST/"], vec!["/health/", "/b$/"], vec![(0, "GET /a")]),
            (vec!["/none/"], vec![], vec![]),
            (vec!["/^GET.*a$/"], vec![], vec![(0, "GET /a")]),
        ] {
            let transform = Transform {
                keep: expressions(&keep),
                drop: expressions(&drop),
                ..Transform::default()
            };
            let ledger = Ledger::default();
            let mut segment = segment(&["GET /a", "GET /health", "POST /b"]);
            transform.apply(&mut segment, &ledger);
            assert_eq!(ledger.dropped.get(), 3 - left.len() as u64);
            let batch = Batch::new(vec![segment], std::time::SystemTime::now());
            let found: Vec<_> = batch
                .records()
                .map(|record| (record.time.unwrap(), std::str::from_utf8(record.text).unwrap()))
                .collect();
            assert_eq!(found, left);
        }
    }

    #[test]
    fn what_a_runtime_writes_before_a_text_is_not_looked_at() {
        let transform = Transform {
            is_cri: true,
            keep: vec![Expression::parse("/^GET/").unwrap()],
            redact: vec![Redact::parse("/\\d+/").unwrap()],
            ..Transform::default()
        };
        let head = "2026-11-26T10:00:00.1Z stdout F";
        let lines = [format!("{head} GET /12"), format!("{head} POST /12")];
        let mut segment = segment(&lines.each_ref().map(String::as_str));
        transform.apply(&mut segment, &Ledger::default());
        let [line] = segment.lines.as_slice() else { panic!() };
        assert_eq!(&segment.data[line.range()], format!("{head} GET /**").as_bytes());
    }
}
