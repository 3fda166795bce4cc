//! `status`: how far each file is, by what the state directory says.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use humantime::format_duration;
use pod_contract::start::exit::Failure;
use pod_contract::units::Bytes;

use crate::checkpoint::{NAME, Saved, peek};
use crate::deliver::path_in;
use crate::identity::Inode;
use crate::state::{SINKS, is_used};

/// Prints a table of all sinks that have something there.
///
/// # Errors
/// Also when only some of it can be read: that is printed.
pub(crate) fn show(state: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::failed(format!("cannot read what is in {}: {error}", state.display()));
        failure.remedy("name the directory that --state of the sidecar names")
    };
    let (table, unread) = table(state).map_err(failed)?;
    match io::stdout().write_all(table.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::failed(format!("cannot write to stdout: {error}")));
        }
        _ => {}
    }
    unread.map_or(Ok(()), |error| Err(failed(error)))
}

/// What can be read, and the first error of what cannot.
fn table(state: &Path) -> io::Result<(String, Option<io::Error>)> {
    let mut dirs = vec![state.to_owned()];
    match fs::read_dir(state.join(SINKS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        entries => {
            for entry in entries? {
                dirs.push(entry?.path());
            }
        }
    }
    dirs.retain(|dir| is_used(dir));
    dirs.sort_unstable();
    if dirs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {NAME}")));
    }
    let mut rows = vec![["SINK", "BEHIND", "DELIVERED", "SIZE", "WRITTEN", "FILE"].map(str::to_owned)];
    let (mut rejected, mut unread) = (Vec::new(), None);
    for dir in dirs {
        let sink = if dir == state {
            "-".into()
        } else {
            dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        match peek(&dir) {
            Ok(mut positions) => {
                positions.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
                rows.extend(positions.files.iter().map(|file| row(&sink, file)));
            }
            // There are rejected records only.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(unread.get_or_insert(error)),
        }
        rejected.extend(told_rejected(&sink, &dir));
    }
    Ok((aligned(&rows) + &rejected.concat(), unread))
}

fn row(sink: &str, file: &Saved) -> [String; 6] {
    let (behind, size, written) = match found(file) {
        Some((size, written)) => {
            let behind = match file.packed {
                Some(packed) if packed.is_finished => "0B".into(),
                // How much is in it nobody knows before it is read.
                Some(_) => "?".into(),
                // It was truncated since, and all of it is new.
                None if size < file.offset => Bytes(size).to_string(),
                None => Bytes(size - file.offset).to_string(),
            };
            (behind, Bytes(size).to_string(), written)
        }
        None => ("?".into(), "gone".into(), "-".into()),
    };
    let delivered = Bytes(file.offset).to_string();
    // A name may hold what a terminal would obey.
    let path = file.path.chars().map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    [sink.into(), behind, delivered, size, written, path.collect()]
}

/// Size, and how long ago it was written to, if it still has its name, or another one beside.
fn found(file: &Saved) -> Option<(u64, String)> {
    let path = Path::new(&file.path);
    let beside = || {
        fs::read_dir(path.parent()?)
            .ok()
            .map(|dir| dir.flatten().map(|entry| entry.path()))
    };
    let candidates = std::iter::once(PathBuf::from(path)).chain(beside().into_iter().flatten());
    for candidate in candidates {
        let Ok(opened) = File::open(&candidate) else { continue };
        if Inode::of(&opened).is_ok_and(|inode| inode.lasting() == file.inode.lasting()) {
            let meta = opened.metadata().ok()?;
            let age = SystemTime::now()
                .duration_since(meta.modified().ok()?)
                .unwrap_or_default();
            let seconds = std::time::Duration::from_secs(age.as_secs());
            return Some((meta.len(), format!("{} ago", format_duration(seconds))));
        }
    }
    None
}

fn told_rejected(sink: &str, dir: &Path) -> Option<String> {
    let text = fs::read(path_in(dir)).ok().filter(|text| !text.is_empty())?;
    let records = text.iter().filter(|&&byte| byte == b'\n').count();
    let size = Bytes(text.len() as u64);
    Some(format!(
        "{sink}: {records} rejected records ({size}) wait for log-sidecar replay\n"
    ))
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
