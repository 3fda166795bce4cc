//! One program, measured by a process that has no other child.
//!
//! `bench --measure OUT CMD ARGS...` runs the command and writes its [`Sample`] to OUT. The detour has a reason: the kernel accounts ended
//! children per parent, the peak RSS as the largest of them all, and a program begins life with the RSS of whoever starts it. A parent of
//! one child that has done nothing else gives figures of that child alone; this small process' own RSS, 2 to 3 MiB, is the least that can be seen.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeVal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{During as _, Error};
use crate::run::{steady, traffic};
use crate::scenario::{Steady, Traffic};
use crate::work::store::Store;

const FLAG: &str = "--measure";
/// Then LINES and TARGET: the store that the command ships to.
const STORE: &str = "--store";
/// Then BUSY, IDLE, SECONDS, LOGS and TARGET: the files that the command reads, and the store.
const STEADY: &str = "--steady";
/// Then the numbers of [`Traffic`], SCRATCH and TARGET.
const TRAFFIC: &str = "--traffic";

/// What one run of a program cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// From before it was started to after it had ended.
    pub(crate) wall_seconds: f64,
    /// On all cores, with its own children.
    pub(crate) user_seconds: f64,
    pub(crate) system_seconds: f64,
    /// Of the largest process when there are several.
    pub(crate) peak_rss_kib: u64,
    /// How long lines were on their way, of half of them and of 99 in 100, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<(f64, f64)>,
}

/// OUT and the command, when these arguments ask to measure.
pub(crate) fn requested(arguments: &[OsString]) -> Option<(&Path, &[OsString])> {
    match arguments {
        [flag, output, command @ ..] if flag == FLAG && !command.is_empty() => Some((Path::new(output), command)),
        _ => None,
    }
}

/// Does what the arguments ask for.
pub(crate) fn obey(output: &Path, command: &[OsString]) -> Result<(), Error> {
    match command {
        [flag, lines, target, command @ ..] if flag == STORE => {
            let lines = lines.to_string_lossy().parse().unwrap_or_default();
            observe_shipping(output, lines, Path::new(target), command)
        }
        [flag, busy, idle, seconds, logs, target, command @ ..] if flag == STEADY => {
            let number = |word: &OsString| word.to_string_lossy().parse().unwrap_or_default();
            let steady = Steady {
                busy: number(busy),
                idle: number(idle),
                seconds: number(seconds),
            };
            let store = Store::start().during("start a store for", Path::new(target))?;
            let command = with_port(command, &store);
            let sample = steady::observe(steady, Path::new(logs), Path::new(target), &command, &store)?;
            write(output, &sample)
        }
        [
            flag,
            connections,
            streams,
            seconds,
            body,
            per,
            close,
            secure,
            scratch,
            target,
            command @ ..,
        ] if flag == TRAFFIC => {
            let number = |word: &OsString| word.to_string_lossy().parse().unwrap_or_default();
            let traffic = Traffic {
                connections: number(connections),
                streams: number(streams),
                seconds: number(seconds),
                body: number(body),
                per: number(per),
                close: number(close) == 1,
                secure: number(secure) == 1,
            };
            let command: Vec<String> = command.iter().map(|word| word.to_string_lossy().into_owned()).collect();
            let sample = traffic::observe(traffic, Path::new(scratch), Path::new(target), &command)?;
            write(output, &sample)
        }
        command => observe(output, command),
    }
}

fn with_port(command: &[OsString], store: &Store) -> Vec<String> {
    let port = store.port().to_string();
    let words = command.iter();
    words
        .map(|word| word.to_string_lossy().replace("{port}", &port))
        .collect()
}

/// The measuring process: runs `command` and writes its sample; a command that fails leaves none.
fn observe(output: &Path, command: &[OsString]) -> Result<(), Error> {
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let started = Instant::now();
    let status = Command::new(program)
        .args(arguments)
        .status()
        .during("run", Path::new(program))?;
    conclude(output, program, status, started.elapsed())
}

/// The same, with a store of its own in the place of `{port}`: done when that has `lines`, which go to `target` in short.
fn observe_shipping(output: &Path, lines: u64, target: &Path, command: &[OsString]) -> Result<(), Error> {
    let store = Store::start().during("start a store for", target)?;
    let words = with_port(command, &store);
    let [program, arguments @ ..] = words.as_slice() else {
        return Ok(());
    };
    let started = Instant::now();
    let child = Command::new(program).args(arguments).spawn();
    let mut child = child.during("run", Path::new(program))?;
    let shipped = store.wait_for(lines, || !matches!(child.try_wait(), Ok(None)));
    let wall = started.elapsed();
    let id = Pid::from_raw(child.id().cast_signed());
    // One that has ended by itself shows in what it has shipped.
    kill(id, Signal::SIGTERM).ok();
    let status = child.wait().during("wait for", Path::new(program))?;
    // What came after the last that was wanted, came twice.
    let all = if shipped.count() < lines {
        shipped
    } else {
        store.lines()
    };
    all.write(target).during("write", target)?;
    conclude(output, OsStr::new(program), status, wall)
}

fn conclude(output: &Path, program: &OsStr, status: ExitStatus, wall: Duration) -> Result<(), Error> {
    if !status.success() {
        let how = match status.signal() {
            Some(signal) => format!("was ended by signal {signal}"),
            None => format!("ended with code {}", status.code().unwrap_or_default()),
        };
        return Err(Error::Ended { how });
    }
    let usage = usage(Path::new(program))?;
    let sample = Sample {
        wall_seconds: wall.as_secs_f64(),
        user_seconds: seconds(usage.user_time()),
        system_seconds: seconds(usage.system_time()),
        peak_rss_kib: usage.max_rss().unsigned_abs(),
        delay_ms: None,
    };
    write(output, &sample)
}

fn usage(program: &Path) -> Result<Usage, Error> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(Into::into);
    usage.during("read the resource usage of", program)
}

/// Of children that have ended.
pub(super) fn peak_rss_kib(program: &Path) -> Result<u64, Error> {
    usage(program).map(|usage| usage.max_rss().unsigned_abs())
}

fn write(output: &Path, sample: &Sample) -> Result<(), Error> {
    let json = serde_json::to_vec(sample).map_err(|source| json_error(output, source))?;
    fs::write(output, json).during("write", output)
}

/// Runs `command` below a measuring process, in an environment that is the same everywhere; `output` is overwritten.
pub(crate) fn run(command: &[OsString], output: &Path) -> Result<Sample, Error> {
    let own = Path::new("/proc/self/exe");
    let result = Command::new(own)
        .arg(FLAG)
        .arg(output)
        .args(command)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .during("run", own)?;
    if !result.status.success() {
        return Err(Error::Failed {
            command: command.join(OsStr::new(" ")).to_string_lossy().into_owned(),
            how: "failed; it said:".into(),
            stderr: String::from_utf8_lossy(&result.stderr).into_owned(),
        });
    }
    let json = fs::read(output).during("read", output)?;
    serde_json::from_slice(&json).map_err(|source| json_error(output, source))
}

/// The same of a command that ships to `{port}` and does not end by itself: it is done when `lines` have come, which are told in `target`.
pub(crate) fn ship(command: &[OsString], output: &Path, lines: u64, target: &Path) -> Result<Sample, Error> {
    let store = [STORE.into(), lines.to_string().into(), target.as_os_str().to_owned()];
    run(&[&store, command].concat(), output)
}

/// The same while it reads what is written at a steady rate, below `logs`.
pub(crate) fn keep_up(
    command: &[OsString],
    output: &Path,
    steady: Steady,
    logs: &Path,
    target: &Path,
) -> Result<Sample, Error> {
    let numbers = [steady.busy, steady.idle, steady.seconds].map(|number| OsString::from(number.to_string()));
    let paths = [logs, target].map(|path| path.as_os_str().to_owned());
    run(&[&[STEADY.into()], &numbers[..], &paths, command].concat(), output)
}

/// The same while it stands between clients and servers.
pub(crate) fn answer(
    command: &[OsString],
    output: &Path,
    traffic: Traffic,
    scratch: &Path,
    target: &Path,
) -> Result<Sample, Error> {
    let Traffic {
        connections,
        streams,
        seconds,
        body,
        per,
        close,
        secure,
    } = traffic;
    let numbers = [connections, streams, seconds, body, per, close.into(), secure.into()];
    let numbers = numbers.map(|number| OsString::from(number.to_string()));
    let paths = [scratch, target].map(|path| path.as_os_str().to_owned());
    run(&[&[TRAFFIC.into()], &numbers[..], &paths, command].concat(), output)
}

fn json_error(path: &Path, source: serde_json::Error) -> Error {
    Error::Json {
        path: path.to_owned(),
        source,
    }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn measuring_is_asked_for_by_the_first_argument_and_a_command() {
        let asked = words(&["--measure", "out.json", "cp", "a", "--measure"]);
        let (output, command) = requested(&asked).unwrap();
        assert_eq!(output, Path::new("out.json"));
        assert_eq!(command, words(&["cp", "a", "--measure"]));
        for not_asked in [&["--measure"][..], &["--measure", "out.json"], &["one-file"], &[]] {
            assert!(requested(&words(not_asked)).is_none(), "{not_asked:?}");
        }
    }

    #[test]
    fn the_sample_of_a_child_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("sample.json");
        observe(
            &output,
            &words(&["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done"]),
        )
        .unwrap();
        let sample: Sample = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
        assert!(
            sample.wall_seconds > 0.0 && sample.user_seconds + sample.system_seconds > 0.0 && sample.peak_rss_kib > 0,
            "{sample:?}"
        );
    }

    #[test]
    fn a_child_that_fails_leaves_no_sample() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("sample.json");
        let error = observe(&output, &words(&["sh", "-c", "exit 3"])).unwrap_err();
        assert!(error.to_string().contains("ended with code 3"), "{error}");
        assert!(!output.exists());
    }
}
