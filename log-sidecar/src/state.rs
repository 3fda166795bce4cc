//! The state directory: the files of the one sink, or those of each named one in `sinks/NAME`.
//!
//! What a run with one sink has left goes to the named ones: each that has no positions of its own starts where that one ended, and the
//! first has its dead letters.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pod_contract::files::publish::{Staged, sync_dir};
use pod_contract::start::exit::Failure;
use pod_contract::start::explain;

use crate::checkpoint::{CLEAN, NAME, is_full, lock, peek};
use crate::config::Route;
use crate::deliver::DEAD_LETTER;

/// Where the directories of named sinks are.
pub(crate) const SINKS: &str = "sinks";
/// What the positions of the one without a name are called while the named sinks take them over.
const TAKEN: &str = "checkpoint.taken.json";

/// Prepares the directory for these routes. The lock on it, if they have names, is held as long as they run.
///
/// # Errors
/// When a run with named sinks has left positions, and there are none for one without a name: it would send all of it again.
pub(crate) fn open(state: Option<&Path>, routes: &[Route]) -> Result<Option<File>, Failure> {
    let Some(state) = state else { return Ok(None) };
    let otherwise = "name a directory on a writable volume that no other log-sidecar uses";
    let failed = |error| cannot_use(state, &error, otherwise);
    let lock = match lock(state) {
        // There is nothing to take over where nothing is; positions follow when there is room.
        Err(error) if is_full(&error) => return Ok(None),
        locked => locked.map_err(failed)?,
    };
    let names: Vec<&str> = routes.iter().filter_map(|route| route.name.as_deref()).collect();
    if names.is_empty() {
        take_back(state).map_err(failed)?;
        // The one route holds it itself.
        drop(lock);
        return refuse_named(state).map(|()| None);
    }
    take_over(state, &names).map_err(failed)?;
    hand_over_dead_letters(state, &names).map_err(failed)?;
    tell_unused(state, &names);
    Ok(Some(lock))
}

/// `otherwise` is the remedy against what says no more of itself.
pub(crate) fn cannot_use(dir: &Path, error: &io::Error, otherwise: &str) -> Failure {
    let failure = Failure::failed(format!("cannot use the state directory {}: {error}", dir.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failure.remedy(explain::denied(dir)),
        _ if is_full(error) => failure.remedy("free some space on its volume"),
        _ => failure.remedy(otherwise),
    }
}

/// The old positions count no more once they have another name; from there, each sink without any has a copy.
fn take_over(state: &Path, names: &[&str]) -> io::Result<()> {
    let (old, sinks, taken) = (state.join(NAME), state.join(SINKS), state.join(TAKEN));
    if old.try_exists()? {
        // It has to be one of ours, and those of the sinks that have any, too.
        peek(state)?;
        for dir in names.iter().map(|name| sinks.join(name)) {
            match peek(&dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        about(&sinks, fs::create_dir_all(&sinks))?;
        match fs::remove_file(old.with_extension(CLEAN)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        about(&taken, fs::rename(&old, &taken))?;
        sync_dir(state)?;
    }
    if taken.try_exists()? {
        let positions = fs::read(&taken)?;
        for dir in names.iter().map(|name| sinks.join(name)) {
            if !dir.join(NAME).try_exists()? {
                about(&dir, copy_to(&dir, &positions))?;
            }
        }
        sync_dir(&sinks)?;
        fs::remove_file(&taken)?;
        sync_dir(state)?;
        tracing::info!(state = %state.display(), "the sinks start where the one without a name ended");
    }
    Ok(())
}

fn copy_to(dir: &Path, positions: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut staged = Staged::create(&dir.join(NAME))?;
    staged.file().write_all(positions)?;
    staged.publish(0o640)
}

/// Undoes what [`take_over`] has begun: no sink has run with a copy yet.
fn take_back(state: &Path) -> io::Result<()> {
    let (sinks, taken) = (state.join(SINKS), state.join(TAKEN));
    if !taken.try_exists()? {
        return Ok(());
    }
    let positions = fs::read(&taken)?;
    for copy in names_in(&sinks)?.iter().map(|name| sinks.join(name).join(NAME)) {
        if fs::read(&copy).is_ok_and(|found| found == positions) {
            fs::remove_file(&copy)?;
        }
    }
    fs::rename(&taken, state.join(NAME))?;
    sync_dir(state)
}

/// An error says what it is about.
fn about<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Files of rejected records.
pub(crate) fn dead_letters(state: &Path) -> io::Result<Vec<PathBuf>> {
    let names = names_in(state)?.into_iter();
    let ours = names.filter(|name| name.as_encoded_bytes().starts_with(DEAD_LETTER.as_bytes()));
    Ok(ours.map(|name| state.join(name)).collect())
}

fn hand_over_dead_letters(state: &Path, names: &[&str]) -> io::Result<()> {
    for file in dead_letters(state)? {
        let first = state.join(SINKS).join(names.first().unwrap_or(&""));
        about(&first, fs::create_dir_all(&first))?;
        let own = first.join(file.file_name().unwrap_or_default());
        if own.try_exists()? {
            tracing::warn!(file = %file.display(), to = %own.display(), "rejected records that no sink has, since there are others where they would go: move them when those are sent");
        } else {
            fs::rename(&file, &own)?;
        }
    }
    Ok(())
}

/// A sink that was renamed or left out.
fn tell_unused(state: &Path, names: &[&str]) {
    for name in names_in(&state.join(SINKS)).unwrap_or_default() {
        let dir = state.join(SINKS).join(&name);
        if is_used(&dir) && !names.iter().any(|known| *known == name) {
            tracing::warn!(dir = %dir.display(), "positions and rejected records of a sink that is not configured: its name is what they hang on");
        }
    }
}

/// Has a sink left something there?
pub(crate) fn is_used(dir: &Path) -> bool {
    dir.join(NAME).exists() || dead_letters(dir).is_ok_and(|files| !files.is_empty())
}

fn refuse_named(state: &Path) -> Result<(), Failure> {
    // What cannot be looked at is told when it is used.
    if fs::exists(state.join(NAME)).unwrap_or(true) {
        return Ok(());
    }
    let sinks = state.join(SINKS);
    let found = names_in(&sinks).unwrap_or_default().into_iter();
    let with_positions = found.filter(|name| sinks.join(name).join(NAME).exists());
    let mut names: Vec<_> = with_positions.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    let Some(first) = names.first() else { return Ok(()) };
    let (dir, names) = (state.display(), names.join(", "));
    let failure = Failure::failed(format!(
        "{dir} has the positions of the sinks {names}, and none of one without a name: all of it would be sent again"
    ));
    Err(failure.remedy(format!(
        "give the sink its name (sinks: {{{first}: …}}), or move what is in {dir}/{SINKS}/{first} to {dir}"
    )))
}

fn names_in(dir: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
}
