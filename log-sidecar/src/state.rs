//! The state directory: the files of the one sink, or those of each named one in a directory of its name.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use pod_contract::files::publish::Staged;
use pod_contract::start::exit::Failure;

use crate::checkpoint::{CLEAN, NAME, is_full, lock};
use crate::config::Route;
use crate::deliver::DEAD_LETTER;

/// What positions are called once the named sinks have them.
const TAKEN: &str = "json.taken";

/// Keeps other processes out of the directory as a whole.
#[derive(Debug)]
pub(crate) struct State {
    _lock: Option<File>,
}

impl State {
    /// What a run with one sink has left goes to the named ones: each starts where that one ended, and the first has its dead letters.
    ///
    /// # Errors
    /// When a run with named sinks has left positions, and there are none for one without a name: it would send all of it again.
    pub(crate) fn open(state: Option<&Path>, routes: &[Route]) -> Result<Self, Failure> {
        let Some(state) = state else {
            return Ok(Self { _lock: None });
        };
        let dirs: Vec<PathBuf> = routes
            .iter()
            .filter(|route| route.name.is_some())
            .filter_map(|route| route.state.clone())
            .collect();
        let opened = if dirs.is_empty() {
            refuse_foreign(state)?;
            Ok(None)
        } else {
            take_over(state, &dirs)
        };
        let lock = opened.map_err(|error| {
            let failure = Failure::failed(format!("cannot use the state directory {}: {error}", state.display()));
            failure.remedy("name a directory on a writable volume, which no other log-sidecar uses")
        })?;
        Ok(Self { _lock: lock })
    }
}

fn take_over(state: &Path, dirs: &[PathBuf]) -> io::Result<Option<File>> {
    let lock = match lock(state) {
        // There is nothing to take over where nothing is; positions follow when there is room.
        Err(error) if is_full(&error) => return Ok(None),
        locked => locked?,
    };
    let old = state.join(NAME);
    if !old.try_exists()? {
        return Ok(Some(lock));
    }
    tracing::info!(state = %state.display(), "the sinks start where the one without a name ended");
    if let Some(first) = dirs.first() {
        fs::create_dir_all(first)?;
        move_dead_letters(state, first)?;
    }
    let positions = fs::read(&old)?;
    let is_clean = fs::exists(old.with_extension(CLEAN))?;
    for dir in dirs {
        fs::create_dir_all(dir)?;
        let own = dir.join(NAME);
        if own.try_exists()? {
            continue;
        }
        let mut staged = Staged::create(&own)?;
        staged.file().write_all(&positions)?;
        staged.publish(0o640)?;
        if is_clean {
            File::create(own.with_extension(CLEAN))?;
        }
    }
    fs::rename(&old, old.with_extension(TAKEN))?;
    Ok(Some(lock))
}

fn move_dead_letters(state: &Path, first: &Path) -> io::Result<()> {
    for entry in fs::read_dir(state)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(DEAD_LETTER.as_bytes()) {
            continue;
        }
        if first.join(&name).try_exists()? {
            tracing::warn!(file = %state.join(&name).display(), "rejected records that no sink takes over, since it has some of its own");
        } else {
            fs::rename(state.join(&name), first.join(&name))?;
        }
    }
    Ok(())
}

fn refuse_foreign(state: &Path) -> Result<(), Failure> {
    // What cannot be looked at is told when it is used.
    if fs::exists(state.join(NAME)).unwrap_or(true) {
        return Ok(());
    }
    let mut names: Vec<String> = fs::read_dir(state)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(NAME).exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    let Some(first) = names.first() else { return Ok(()) };
    let (dir, names) = (state.display(), names.join(", "));
    let failure = Failure::failed(format!(
        "{dir} has the positions of the sinks {names}, and none of one without a name: all of it would be sent again"
    ));
    Err(failure.remedy(format!(
        "give the sink its name (sinks: {{{first}: …}}), or move {dir}/{first}/{NAME} to {dir}"
    )))
}
