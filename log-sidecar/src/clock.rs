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
    /// Of the last line that was too late for its place, how often that was so, and is it so now?
    #[serde(default, skip_serializing_if = "is_default")]
    late: (Nanos, u64, bool),
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
        let (late, times, is_late) = &mut self.late;
        let wanted = |times: u64| match (said, self.last) {
            (None, Some(_)) if self.tick > 0 => 0,
            (Some(time), _) | (None, Some(time)) => {
                let place = place.wrapping_add(times.wrapping_mul(APART));
                time.max(0).cast_unsigned() * NANOS_OF_MILLI + place % room
            }
            (None, None) => now,
        };
        if wanted(0) > 0 {
            *is_late = wanted(0) + LATE < self.tick;
        }
        if !*is_late {
            self.tick = wanted(0).max(self.tick + 1);
            return self.tick;
        }
        if wanted(0) > 0 && wanted(*times) + LATE < *late || *late == 0 {
            *times += 1;
            *late = wanted(*times);
        } else {
            *late = wanted(*times).max(*late + 1);
        }
        *late
    }
}

/// What stands in no checkpoint.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
