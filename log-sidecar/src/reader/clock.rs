//! When the lines of a file were written: those that do not say it, as the rest of a stack trace, at the time of the one before.

use crate::batch::{Line, Segment};
use crate::parse::{Millis, Zone, of_line};

/// So far back a file that is read on is looked through for a time, bytes.
pub(super) const LOOK_BACK: u64 = 64 << 10;

/// The time that a file has come to.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<Millis>,
}

impl Clock {
    /// Notes when each line of `segment` was written.
    pub(super) fn note(&mut self, segment: &mut Segment, zone: Zone, now: Millis) {
        let time = |line: &Line| of_line(&segment.data[line.range()], zone, now);
        let times = segment.lines.iter().map(|line| {
            self.last = time(line).or(self.last);
            self.last
        });
        segment.times = times.collect();
    }

    /// Looks for the last time in what stands `before`, which ends with a line.
    pub(super) fn wind(&mut self, before: &[u8], zone: Zone, now: Millis) {
        let mut lines = before.rsplit(|&byte| byte == b'\n');
        self.last = lines.find_map(|line| of_line(line, zone, now)).or(self.last);
    }
}
