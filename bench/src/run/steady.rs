//! One program that reads while somebody writes at a steady rate: what that takes of a core, and how long lines are on their way.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::measure::{Sample, peak_rss_kib};
use crate::error::{During as _, Error};
use crate::scenario::Steady;
use crate::work::store::{Lines, Store};

/// One line a file in each of these.
const TICK: Duration = Duration::from_millis(5);
/// After the start, or the last of what was there before.
const SETTLE: Duration = Duration::from_secs(2);
/// Of a line, without its end.
const LENGTH: usize = 200;

fn line(number: u64) -> String {
    format!("{number:0LENGTH$}")
}

/// What a store has in the end.
pub(crate) fn expected(steady: Steady) -> Lines {
    let mut lines = Lines::default();
    (0..steady.lines()).for_each(|number| lines.add(&line(number)));
    lines
}

impl Steady {
    /// Of the idle files, which have one each, and of the busy ones.
    pub(crate) fn lines(self) -> u64 {
        self.idle + self.written()
    }

    fn written(self) -> u64 {
        self.seconds * 1000 / TICK.as_millis() as u64 * self.busy
    }
}

/// Starts `command` on files in `logs`, writes, and measures from the first line that is written until the last has arrived.
pub(super) fn observe(
    steady: Steady,
    logs: &Path,
    target: &Path,
    command: &[String],
    store: &Store,
) -> Result<Sample, Error> {
    prepare(steady, logs).during("write to", logs)?;
    let [program, arguments @ ..] = command else {
        return Err(Error::Ended {
            how: "is nothing".into(),
        });
    };
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.during("run", Path::new(program))?;
    let id = child.id();
    store.wait_for(steady.idle, || !matches!(child.try_wait(), Ok(None)));
    thread::sleep(SETTLE);
    let (began, before) = (
        Instant::now(),
        cpu(id).during("read the CPU time of", Path::new(program))?,
    );
    let written = write(steady, logs).during("write to", logs)?;
    let all = steady.lines();
    let lines = store.wait_for(all, || !matches!(child.try_wait(), Ok(None)));
    let (wall, after) = (
        began.elapsed(),
        cpu(id).during("read the CPU time of", Path::new(program))?,
    );
    // One that has ended by itself shows in what it has shipped.
    kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM).ok();
    child.wait().during("wait for", Path::new(program))?;
    lines.write(target).during("write", target)?;
    let arrived = store.arrivals();
    let arrived = arrived
        .iter()
        .flat_map(|&(count, at)| std::iter::repeat_n(at, count as usize));
    // In the order of their writing, or nearly: each file's lines come in order.
    let arrived = arrived.skip(steady.idle as usize);
    let mut delays: Vec<Duration> = written
        .iter()
        .zip(arrived)
        .map(|(&sent, at)| at.saturating_duration_since(sent))
        .collect();
    delays.sort_unstable();
    let quantile = |share: f64| {
        let index = (delays.len() as f64 * share) as usize;
        delays
            .get(index.min(delays.len().saturating_sub(1)))
            .map(|delay| delay.as_secs_f64() * 1000.0)
    };
    Ok(Sample {
        wall_seconds: wall.as_secs_f64(),
        user_seconds: after.0 - before.0,
        system_seconds: after.1 - before.1,
        peak_rss_kib: peak_rss_kib(Path::new(program))?,
        delay_ms: quantile(0.5).zip(quantile(0.99)),
    })
}

fn prepare(steady: Steady, logs: &Path) -> io::Result<()> {
    fs::create_dir(logs)?;
    for number in 0..steady.idle {
        fs::write(logs.join(format!("idle-{number}.log")), line(number) + "\n")?;
    }
    (0..steady.busy).try_for_each(|number| File::create(logs.join(format!("busy-{number}.log"))).map(drop))
}

/// When each line was written.
fn write(steady: Steady, logs: &Path) -> io::Result<Vec<Instant>> {
    let open = |number| {
        File::options()
            .append(true)
            .open(logs.join(format!("busy-{number}.log")))
    };
    let mut files: Vec<File> = (0..steady.busy).map(open).collect::<io::Result<_>>()?;
    let mut written = Vec::new();
    let mut next = Instant::now();
    while (written.len() as u64) < steady.written() {
        for file in &mut files {
            let number = steady.idle + written.len() as u64;
            file.write_all((line(number) + "\n").as_bytes())?;
            written.push(Instant::now());
        }
        next += TICK;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(written)
}

/// Seconds of a process, user and system, from fields 14 and 15 of proc_pid_stat(5).
pub(super) fn cpu(id: u32) -> io::Result<(f64, f64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or_default());
    let ticks = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100) as f64;
    let mut seconds = || fields.next().unwrap_or_default() / ticks;
    Ok((seconds(), seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_ticks() {
        let steady = Steady {
            busy: 5,
            idle: 10,
            seconds: 60,
        };
        assert_eq!(steady.lines(), 60_010);
        assert_eq!(expected(steady).count(), 60_010);
    }

    #[test]
    fn the_cpu_time_of_a_process_is_read() {
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(60) {}
        let (user, system) = cpu(std::process::id()).unwrap();
        assert!(user + system >= 0.02 && user + system < 1000.0, "{user} {system}");
    }
}
