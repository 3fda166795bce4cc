//! Where and on what something was measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::SystemTime;

use crate::run::tool;
use crate::show::notation;

const UNKNOWN: &str = "unknown";

/// `2 cores of AMD EPYC, 23.5 GiB of memory, Linux 6.1.0`.
pub(crate) fn describe() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| UNKNOWN.into());
    let memory = field(&read("/proc/meminfo"), "MemTotal").map_or_else(|| UNKNOWN.into(), |text| gibibytes(&text));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores of {cpu}, {memory} of memory, Linux {}", kernel.trim())
}

/// Today in UTC, `2026-01-31`.
pub(crate) fn date() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.chars().take("2026-01-31".len()).collect()
}

/// The commit of the working directory, with `+` when there are changes to it outside of `bench/`.
pub(crate) fn commit() -> String {
    let git = |arguments: &[&str]| tool::output_of(Command::new("git").args(arguments));
    let Ok(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return UNKNOWN.into();
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench"]);
    let mark = if changes.is_ok_and(|list| list.is_empty()) {
        ""
    } else {
        "+"
    };
    format!("{}{mark}", commit.trim())
}

/// The type of the file system that holds an existing path.
pub(crate) fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let found = fs::canonicalize(path)
        .ok()
        .and_then(|path| mounted_type(&mounts, &path).map(str::to_owned));
    found.unwrap_or_else(|| UNKNOWN.into())
}

/// Of the longest mount point that leads to `path`; the last one mounted there counts.
fn mounted_type<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let parsed = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let leading = parsed.filter(|(point, _)| path.starts_with(point));
    leading
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind)
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn gibibytes(kib: &str) -> String {
    let kib: Option<u64> = kib.trim_end_matches(" kB").parse().ok();
    kib.map_or_else(
        || UNKNOWN.into(),
        |kib| format!("{} GiB", notation::one_decimal(kib as f64 / 1024.0 / 1024.0)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_and_last_mount_point_decides() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n/dev/a /data xfs rw 0 0\n/dev/b /data btrfs rw 0 0\n";
        let kind = |path| mounted_type(mounts, Path::new(path));
        assert_eq!(kind("/dev/shm/x"), Some("tmpfs"));
        assert_eq!(kind("/dev/shmem"), Some("ext4"));
        assert_eq!(kind("/data/x/y"), Some("btrfs"));
        assert_eq!(mounted_type("", Path::new("/")), None);
    }

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(
            field("processor\t: 0\nmodel name\t: A CPU\n", "model name"),
            Some("A CPU".into())
        );
        assert_eq!(field("", "model name"), None);
        assert_eq!(gibibytes("24641536 kB"), "23.5 GiB");
        assert_eq!(gibibytes("many"), "unknown");
    }
}
