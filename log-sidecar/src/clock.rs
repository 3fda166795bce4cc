//! How the times of lines follow each other in a file; pure.

use serde::{Deserialize, Serialize};

use crate::parse::{Millis, NANOS_OF_MILLI, NANOS_OF_SECOND, Nanos, SECOND, Zone};

/// A line that is older than the one before by no more than this stays in its place; one that is older still has its own time, as after
/// a jump of the application's clock.
const LATE: Nanos = 2 * NANOS_OF_SECOND;

/// How far apart the places are of what is told to be of one time before such a jump and after it: far from each other for every room.
const APART: Nanos = 618_033_989;

/// What of the times of a file is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Times {
    /// Of times of lines that do not say it; without, what lines say is not looked at.
    pub(crate) zone: Option<Zone>,
    /// The sink knows lines by their times: each has one of its own, see [`crate::batch::Segment::ticks`].
    pub(crate) has_ticks: bool,
}

/// The time that a file has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Clock {
    /// Of the last line that has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<Millis>,
    /// Lines say parts of a second.
    #[serde(default, skip_serializing_if = "is_default")]
    is_fine: bool,
    /// The highest.
    #[serde(default, skip_serializing_if = "is_default")]
    tick: Nanos,
    /// Of lines that are too late for their place.
    #[serde(default, skip_serializing_if = "is_default")]
    late: Late,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Late {
    /// Of the last one.
    tick: Nanos,
    /// How often the time was set back.
    times: u64,
    /// The last line is one.
    is_now: bool,
}

impl Clock {
    /// When the last line was written: one that does not say it, as the rest of a stack trace, is as old as the one before.
    pub(crate) fn last(&self) -> Option<Millis> {
        self.last
    }

    /// Notes the time that a line says.
    pub(crate) fn note(&mut self, said: Option<Millis>) {
        self.is_fine |= said.is_some_and(|time| time % SECOND != 0);
        self.last = said.or(self.last);
    }

    /// The tick of the line that was noted last: the time that it says, or that of reading if none has said any, with the `place` of the
    /// file in what that leaves open; else what follows the line before.
    pub(crate) fn tick(&mut self, said: Option<Millis>, place: Nanos, now: Nanos) -> Nanos {
        // Programs that tell whole seconds write many lines in each.
        let room = if self.is_fine { NANOS_OF_MILLI } else { NANOS_OF_SECOND };
        // None of what follows the line before. After a jump, another place keeps what says the same time once more apart.
        let wanted = |jumps: u64| match (said, self.last) {
            (None, Some(_)) if self.tick > 0 => None,
            (Some(time), _) | (None, Some(time)) => {
                let place = place.wrapping_add(jumps.wrapping_mul(APART));
                Some(time.max(0).cast_unsigned() * NANOS_OF_MILLI + place % room)
            }
            (None, None) => Some(now),
        };
        let late = &mut self.late;
        if let Some(wanted) = wanted(0) {
            late.is_now = wanted + LATE < self.tick;
        }
        if !late.is_now {
            self.tick = wanted(0).unwrap_or_default().max(self.tick + 1);
            return self.tick;
        }
        let is_back = |wanted: Nanos| late.times == 0 || wanted + LATE < late.tick;
        if wanted(late.times).is_some_and(is_back) {
            late.times += 1;
            late.tick = wanted(late.times).unwrap_or_default();
        } else {
            late.tick = wanted(late.times).unwrap_or_default().max(late.tick + 1);
        }
        late.tick
    }
}

/// What stands in no checkpoint.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
