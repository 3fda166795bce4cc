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
use crate::state::SINKS;

/// Prints a table for each sink that has positions there.
pub(crate) fn show(state: &Path) -> Result<(), Failure> {
    let table = table(state).map_err(|error| {
        let failure = Failure::failed(format!("cannot read what is in {}: {error}", state.display()));
        failure.remedy("name the directory that --state of the sidecar names")
    })?;
    match io::stdout().write_all(table.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

fn table(state: &Path) -> io::Result<String> {
    let mut dirs = vec![state.to_owned()];
    for entry in fs::read_dir(state.join(SINKS)).into_iter().flatten() {
        dirs.push(entry?.path());
    }
    dirs.retain(|dir| dir.join(NAME).exists());
    dirs.sort_unstable();
    if dirs.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no {NAME}")));
    }
    let mut rows = vec![["SINK", "BEHIND", "DELIVERED", "SIZE", "WRITTEN", "FILE"].map(str::to_owned)];
    let mut rejected = Vec::new();
    for dir in dirs {
        let sink = if dir == state {
            "-".into()
        } else {
            dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        let mut positions = peek(&dir)?;
        positions.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        rows.extend(positions.files.iter().map(|file| row(&sink, file)));
        rejected.extend(told_rejected(&sink, &dir));
    }
    Ok(aligned(&rows) + &rejected.concat())
}

fn row(sink: &str, file: &Saved) -> [String; 6] {
    let (behind, size, written) = match found(file) {
        Some((size, written)) => {
            let behind = match file.packed {
                Some(packed) if packed.is_finished => "0B".into(),
                // How much is in it nobody knows before it is read.
                Some(_) => "?".into(),
                None => Bytes(size.saturating_sub(file.offset)).to_string(),
            };
            (behind, Bytes(size).to_string(), written)
        }
        None => ("?".into(), "gone".into(), "-".into()),
    };
    let delivered = Bytes(file.offset).to_string();
    [sink.into(), behind, delivered, size, written, file.path.clone()]
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
