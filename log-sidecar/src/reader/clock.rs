//! When the lines of a file that is read were written.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::batch::Segment;
use crate::clock::{Clock, Times};
use crate::parse::{Zone, millis, nanos, of_line};

/// So far back a file that is read on is looked through for a time, bytes, if the checkpoint has none.
pub(super) const LOOK_BACK: u64 = 64 << 10;

/// The clock of a file that is read: as it is now, and as it was where lines are not settled.
#[derive(Debug, Clone, Default)]
pub(super) struct Clocks {
    now: Clock,
    /// After each range that is on its way, by where that ends in the file.
    after: VecDeque<(u64, Clock)>,
    settled: Clock,
}

impl Clocks {
    /// Where everything before is settled.
    pub(super) fn from(saved: Option<&Clock>) -> Self {
        let clock = saved.cloned().unwrap_or_default();
        Self {
            now: clock.clone(),
            after: VecDeque::new(),
            settled: clock,
        }
    }

    /// As it was at `settled`, for the checkpoint.
    pub(super) fn saved(&self, settled: u64) -> Option<Clock> {
        let reached = self.after.iter().take_while(|(end, _)| *end <= settled).last();
        let clock = reached.map_or(&self.settled, |(_, clock)| clock);
        (*clock != Clock::default()).then(|| clock.clone())
    }

    /// Notes when each line of `segment` was written; of the file, what is before `settled` is settled.
    pub(super) fn note(&mut self, segment: &mut Segment, times: Times, settled: u64) {
        if times.zone.is_none() && !times.has_ticks {
            return;
        }
        let now = SystemTime::now();
        // What was rotated or truncated says the same times once more.
        let place = u64::from(crc32fast::hash(segment.source.id.as_bytes()));
        segment.times.reserve_exact(segment.lines.len());
        for line in &segment.lines {
            let text = &segment.data[line.range()];
            let said = times.zone.and_then(|zone| of_line(text, zone, millis(now)));
            self.now.note(said);
            segment.times.push(self.now.last());
            if times.has_ticks {
                segment.ticks.push(self.now.tick(said, place, nanos(now)));
            }
        }
        while let Some((_, clock)) = self.after.front().filter(|(end, _)| *end <= settled) {
            self.settled = clock.clone();
            self.after.pop_front();
        }
        self.after.push_back((segment.end, self.now.clone()));
    }

    /// Looks for the last time in what stands `before`, which ends with a line, if none is known.
    pub(super) fn wind(
        &mut self,
        before: impl FnOnce() -> std::io::Result<Vec<u8>>,
        zone: Zone,
    ) -> std::io::Result<()> {
        if self.now != Clock::default() {
            return Ok(());
        }
        let now = millis(SystemTime::now());
        let before = before()?;
        let mut lines = before.rsplit(|&byte| byte == b'\n');
        self.now.note(lines.find_map(|line| of_line(line, zone, now)));
        self.settled = self.now.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::batch::{Line, Mark, Source};
    use crate::identity::Inode;
    use crate::parse::{Millis, NANOS_OF_MILLI, NANOS_OF_SECOND, Nanos, system_time};

    /// 2026-11-26T10:00:00Z.
    const THEN: Millis = 1_795_687_200_000;

    /// One line a segment, each of them 30 bytes long.
    fn segment(index: usize, id: &str, text: &str) -> Segment {
        let (start, data) = (index as u64 * 30, text.as_bytes().to_vec());
        Segment {
            source: Arc::new(Source {
                id: id.into(),
                path: "/logs/a".into(),
                inode: Inode::default(),
            }),
            start,
            end: start + 30,
            base: start,
            lines: vec![Line::new(0, data.len(), Mark::Whole)],
            data: data.into(),
            times: Vec::new(),
            ticks: Vec::new(),
            may_be_known: false,
        }
    }

    fn text(millis: Option<Millis>) -> String {
        let stamp = |millis: Millis| humantime::format_rfc3339_millis(system_time(THEN + millis)).to_string();
        millis.map_or_else(|| "\tat x".into(), stamp)
    }

    fn ticks_of(clocks: &mut Clocks, id: &str, lines: &[Option<Millis>], first: usize, settled: u64) -> Vec<Nanos> {
        let times = Times {
            zone: Some(Zone::default()),
            has_ticks: true,
        };
        let tick = |(index, line): (usize, &Option<Millis>)| {
            let mut segment = segment(first + index, id, &text(*line));
            clocks.note(&mut segment, times, settled);
            segment.ticks[0]
        };
        lines.iter().enumerate().map(tick).collect()
    }

    proptest! {
        /// However many lines say the same time, or none, or are a little late.
        #[test]
        fn each_line_has_a_tick_of_its_own_in_the_order_of_the_file_and_again_after_a_kill(
            mut lines in prop::collection::vec(prop::option::of(0..1500_i64), 1..200),
            at in any::<prop::sample::Index>(),
        ) {
            lines.insert(0, Some(1));
            let mut clocks = Clocks::default();
            let ticks = ticks_of(&mut clocks, "f", &lines, 0, 0);
            prop_assert!(ticks.is_sorted_by(|a, b| a < b), "{ticks:?}");
            let at = at.index(lines.len());
            let saved = clocks.saved(at as u64 * 30);
            let again = ticks_of(&mut Clocks::from(saved.as_ref()), "f", &lines[at..], at, 0);
            prop_assert_eq!(&again, &ticks[at..]);
        }
    }

    proptest! {
        /// Wherever the clock of the application jumps.
        #[test]
        fn no_two_lines_have_one_tick(lines in prop::collection::vec(prop::option::of(prop::sample::select(vec![0, 999, 1000, 3000, 3_600_000, -86_400_000])), 1..300)) {
            let mut ticks = ticks_of(&mut Clocks::default(), "f", &[&[Some(0)], lines.as_slice()].concat(), 0, 0);
            ticks.sort_unstable();
            prop_assert!(ticks.is_sorted_by(|a, b| a < b), "{ticks:?}");
        }
    }

    #[test]
    fn a_tick_is_within_the_millisecond_that_the_line_says() {
        let lines = [999, 1000, 1001, 5000, 5000].map(Some);
        let ticks = ticks_of(&mut Clocks::default(), "f", &lines, 0, 0);
        let within: Vec<_> = ticks.iter().map(|tick| tick / NANOS_OF_MILLI).collect();
        let said = lines.map(|line| (THEN + line.unwrap()).cast_unsigned());
        assert_eq!(within, said);
    }

    #[test]
    fn what_says_whole_seconds_stays_within_them_and_apart_from_what_was_rotated() {
        let lines = vec![Some(0); 10_000];
        let [one, other] = ["f", "g"].map(|id| ticks_of(&mut Clocks::default(), id, &lines, 0, 0));
        let of_second = |tick: &Nanos| tick / NANOS_OF_SECOND == THEN.cast_unsigned() / 1000;
        assert!(one.iter().chain(&other).all(of_second));
        assert!(one.iter().all(|tick| !other.contains(tick)));
    }

    #[test]
    fn after_a_jump_of_the_clock_lines_have_the_times_that_they_say() {
        let lines = [Some(3_600_000), Some(1), None];
        let ticks = ticks_of(&mut Clocks::default(), "f", &lines, 0, 0);
        assert_eq!(ticks[1] / NANOS_OF_MILLI, THEN.cast_unsigned() + 1);
        assert_eq!(ticks[2], ticks[1] + 1);
    }

    #[test]
    fn lines_of_a_file_that_says_no_times_have_those_of_reading() {
        let before = nanos(SystemTime::now());
        let ticks = ticks_of(&mut Clocks::default(), "f", &[None, None], 0, 0);
        assert!(before <= ticks[0] && ticks[0] < ticks[1] && ticks[1] <= nanos(SystemTime::now()) + 1);
    }
}
