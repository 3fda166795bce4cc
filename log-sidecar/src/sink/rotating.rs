//! A file, on another volume as a rule, with one JSON object a line; rotated by size.
//!
//! A record is there once its bytes are on disk. What a failed write has left of lines is taken away at once, and what a crash has left when
//! the file is opened the next time. After a crash, what was written last may be there twice, with the same `event.id`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use pod_contract::config::Setting as _;
use pod_contract::files::publish::{parent, sync_dir};
use pod_contract::units::Bytes;
use rustix::fs::{Access, FlockOperation, access, flock};
use rustix::io::Errno;

use super::bodies::bodies;
use super::document::Encoder;
use super::{Answer, Verdict};
use crate::batch::{Record, text_bytes};
use crate::parse::Shape;
use crate::recycle::Pool;

/// Logs may hold what not everybody is to read.
const MODE: u32 = 0o640;
/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;
const USUAL_MAX: Bytes = Bytes(64 << 20);
const USUAL_KEEP: u32 = 5;
const MOST_KEPT: u32 = 1000;
const STEP: u64 = 64 << 10;

/// Where it is, and how it is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// Bytes; one that would get larger is rotated first. What is written at once stays together, however much that is.
    max: u64,
    /// Files that were rotated, `.1` being the last one.
    keep: u32,
}

impl Place {
    /// `/archive/app.ndjson?max-size=64MiB&keep=5`
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        if !path.starts_with('/') || path.ends_with('/') {
            return Err("file:// takes an absolute path of a file".into());
        }
        let (mut max, mut keep) = (USUAL_MAX, USUAL_KEEP);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("max-size", size)) => max = Bytes::parse(size)?,
                Some(("keep", count)) => {
                    let count = count.parse().ok().filter(|count| (1..=MOST_KEPT).contains(count));
                    keep = count.ok_or_else(|| format!("keep is 1 to {MOST_KEPT} files"))?;
                }
                _ => return Err(format!("{option:?} is neither max-size=SIZE nor keep=COUNT")),
            }
        }
        if max.0 == 0 {
            return Err("max-size has to be more than 0".into());
        }
        Ok(Self {
            path: path.into(),
            max: max.0,
            keep,
        })
    }

    /// Every file that is written to, or made by rotation.
    pub(crate) fn all(&self) -> impl Iterator<Item = PathBuf> {
        std::iter::once(self.path.clone()).chain((1..=self.keep).map(|number| self.rotated(number)))
    }

    /// The rotated file of this number.
    fn rotated(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

#[derive(Debug)]
pub(crate) struct Rotating {
    writer: Arc<Mutex<Writer>>,
    path: PathBuf,
    pub(super) bodies: Arc<Pool>,
    encoder: Encoder,
}

impl Rotating {
    pub(crate) fn new(place: &Place, shape: &Shape) -> Self {
        // What a link leads to is what grows and is rotated.
        let path = fs::canonicalize(&place.path).unwrap_or_else(|_| place.path.clone());
        let writer = Writer {
            place: Place { path, ..place.clone() },
            open: None,
        };
        Self {
            writer: Arc::new(Mutex::new(writer)),
            path: place.path.clone(),
            bodies: bodies(),
            encoder: Encoder::new(shape).with_ids(),
        }
    }

    pub(crate) fn greet(&self) -> Result<(), String> {
        let dir = parent(&self.path);
        match (
            fs::metadata(&self.path),
            access(dir, Access::WRITE_OK | Access::EXEC_OK),
        ) {
            (Ok(found), _) if !found.is_file() => Err(format!("{} is no file", self.path.display())),
            (_, Err(error)) => Err(format!("{}: {error}", dir.display())),
            _ => Ok(()),
        }
    }

    /// A slow disk blocks a thread of the blocking pool, not the runtime.
    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let text = text_bytes(records);
        let mut body = self.bodies.take(text + records.len() * AROUND);
        let mut documents = self.encoder.documents(read_at);
        for record in records {
            documents.add(&mut body, record);
        }
        let writer = Arc::clone(&self.writer);
        let written = tokio::task::spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer
                .append(&body)
                .map_err(|error| format!("cannot write to {}: {error}", writer.place.path.display()))
        });
        let why = match written.await {
            Ok(Ok(())) => return Answer::Each(vec![Verdict::Delivered; records.len()]),
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        Answer::Later {
            why,
            after: None,
            is_unclear: false,
        }
    }
}

#[derive(Debug)]
struct Writer {
    place: Place,
    open: Option<Open>,
}

impl Writer {
    /// Appends whole lines, for good.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let path = &self.place.path;
        let mut open = match self.open.take().filter(|open| open.is_named(path)) {
            Some(open) => open,
            None => Open::at(path)?,
        };
        let length = open.file.metadata()?.len();
        if length > 0 && length + lines.len() as u64 > self.place.max {
            drop(open);
            self.rotate()?;
            open = Open::at(&self.place.path)?;
        }
        open.append(lines)?;
        self.open = Some(open);
        Ok(())
    }

    fn rotate(&self) -> io::Result<()> {
        let named = |number: u32| match number {
            0 => self.place.path.clone(),
            number => self.place.rotated(number),
        };
        // A number may be free, also in the middle: a crash was faster than the last renames.
        let free = (1..self.place.keep).find(|number| !named(*number).exists());
        for number in (0..free.unwrap_or(self.place.keep)).rev() {
            fs::rename(named(number), named(number + 1))?;
        }
        sync_dir(parent(&self.place.path))
    }
}

#[derive(Debug)]
struct Open {
    file: File,
}

impl Open {
    /// Opens or makes it, takes it for this process alone, and takes away what does not end with a line.
    fn at(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(MODE);
        let file = options.open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another process writes to it")),
            locked => locked?,
        }
        sync_dir(parent(path))?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("it is no file that can be rotated"));
        }
        let size = found.len();
        let length = end_of_lines(&file, size)?;
        if length < size {
            tracing::warn!(
                path = %path.display(),
                bytes = size - length,
                "the end of a line is missing, as after a crash: its start is taken away, and it is written again"
            );
            file.set_len(length)?;
        }
        Ok(Self { file })
    }

    /// Did nobody take it away?
    fn is_named(&self, path: &Path) -> bool {
        let found = fs::metadata(path).and_then(|named| Ok((named, self.file.metadata()?)));
        found.is_ok_and(|(named, open)| (named.dev(), named.ino()) == (open.dev(), open.ino()))
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        // Others may have made it shorter.
        let length = self.file.metadata()?.len();
        let written = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if written.is_err() {
            self.file.set_len(length)?;
        }
        written
    }
}

/// Where the last whole line of the first `size` bytes ends.
fn end_of_lines(file: &File, size: u64) -> io::Result<u64> {
    let mut end = size;
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut bytes = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(path: PathBuf, max: u64, keep: u32) -> Writer {
        Writer {
            place: Place { path, max, keep },
            open: None,
        }
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_place_is_a_path_and_says_how_it_is_rotated() {
        let place = |path: &str, max, keep| Place {
            path: path.into(),
            max,
            keep,
        };
        assert_eq!(Place::parse("/a/b"), Ok(place("/a/b", 64 << 20, 5)));
        assert_eq!(Place::parse("/a/b?keep=2&max-size=1KiB"), Ok(place("/a/b", 1024, 2)));
        for bad in [
            "",
            "a",
            "/",
            "/a/",
            "/a?keep=0",
            "/a?keep=1001",
            "/a?max-size=0B",
            "/a?max-size=5",
            "/a?x=1",
            "/a?keep",
        ] {
            Place::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn it_is_rotated_before_it_gets_too_large_and_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        let mut writer = writer(path.clone(), 6, 2);
        for line in ["1\n", "2\n", "3\n", "4\n", "more than all\n", "5\n", "6\n"] {
            writer.append(line.as_bytes()).unwrap();
        }
        assert_eq!(text(&path), "5\n6\n");
        assert_eq!(text(&writer.place.rotated(1)), "more than all\n");
        assert_eq!(text(&writer.place.rotated(2)), "4\n");
        assert!(!writer.place.rotated(3).exists());
    }

    #[test]
    fn a_kill_in_the_middle_of_a_rotation_loses_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        let mut writer = writer(path.clone(), 2, 3);
        for (number, line) in [(0, "now\n"), (2, "before\n"), (3, "long before\n")] {
            let path = if number == 0 {
                path.clone()
            } else {
                writer.place.rotated(number)
            };
            fs::write(path, line).unwrap();
        }
        writer.append(b"next\n").unwrap();
        let found = writer.place.all().map(|path| text(&path)).collect::<Vec<_>>();
        assert_eq!(found, ["next\n", "now\n", "before\n", "long before\n"]);
    }

    #[test]
    fn what_is_no_file_is_not_written_to() {
        writer("/dev/null".into(), 1000, 2).append(b"1\n").unwrap_err();
    }

    #[test]
    fn what_a_crash_has_left_of_a_line_is_taken_away() {
        for (left, kept) in [("1\n{\"half", "1\n"), ("half", ""), ("", ""), ("1\n", "1\n")] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("app");
            fs::write(&path, left).unwrap();
            writer(path.clone(), 1000, 2).append(b"2\n").unwrap();
            assert_eq!(text(&path), format!("{kept}2\n"), "{left:?}");
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        fs::write(&path, format!("1\n{}", "x".repeat(3 * STEP as usize))).unwrap();
        writer(path.clone(), 1000, 2).append(b"2\n").unwrap();
        assert_eq!(text(&path), "1\n2\n");
    }

    #[test]
    fn it_is_for_one_alone_and_made_again_if_somebody_takes_it_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app");
        let mut one = writer(path.clone(), 1000, 2);
        one.append(b"1\n").unwrap();
        let error = writer(path.clone(), 1000, 2).append(b"x\n").unwrap_err();
        assert!(error.to_string().contains("another process"), "{error}");
        fs::rename(&path, dir.path().join("away")).unwrap();
        one.append(b"2\n").unwrap();
        assert_eq!(text(&path), "2\n");
    }
}
