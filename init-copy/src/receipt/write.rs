//! Writing a receipt.

use std::collections::{HashMap, HashSet};
use std::io::{BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use pod_contract::files::publish::Staged;

use super::record::{Mark, Of, Record, Whole};
use crate::error::{At as _, Error};
use crate::plan::Stamp;

/// It lists every name: for the user and the group that run this, not for whoever is served from the directory.
const MODE: u32 = 0o640;
pub(super) const HEAD: &[u8] = b"init-copy receipt 3\n";
pub(super) const END: &str = "end\t";
/// What a field may not hold as it is, beside the bytes that are not ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Writes a receipt, whole or not at all.
pub(crate) struct Writer {
    staged: BufWriter<StagedFile>,
    path: PathBuf,
    entries: u64,
    texts: HashMap<Arc<str>, usize>,
    /// Numbers of the texts that records are from.
    from: HashSet<usize>,
}

struct StagedFile(Staged);

impl std::io::Write for StagedFile {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the method that others build write_all on"
    )]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.file().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Writer {
    /// A new receipt, to be kept at `path`, which says which destination it is `of` when it is kept elsewhere.
    pub(crate) fn create(path: PathBuf, of: Option<&Of>) -> Result<Self, Error> {
        let staged = StagedFile(Staged::create(&path).at("write", &path)?);
        let mut staged = BufWriter::with_capacity(64 << 10, staged);
        staged.write_all(HEAD).at("write", &path)?;
        if let Some(of) = of {
            let dest = percent_encode(of.path.as_os_str().as_bytes(), ESCAPED);
            writeln!(staged, "of\t{dest}\t{}\t{}", of.device, of.inode).at("write", &path)?;
        }
        Ok(Self {
            staged,
            path,
            entries: 0,
            texts: HashMap::new(),
            from: HashSet::new(),
        })
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<(), Error> {
        self.entries += 1;
        let written = self.line(record);
        written.at("write", &self.path)
    }

    fn line(&mut self, record: &Record) -> std::io::Result<()> {
        let (by, from, options) = (
            self.text(&record.by)?,
            self.text(&record.from)?,
            self.text(&record.options)?,
        );
        self.from.insert(from);
        let kind = match (record.mark, record.dir) {
            (Mark::Put, true) => 'd',
            (Mark::Put, false) => 'f',
            (Mark::Overlaid, _) => 'o',
            (Mark::Pending, false) => 'p',
            (Mark::Pending, true) => 'q',
        };
        let path = percent_encode(record.path.as_os_str().as_bytes(), ESCAPED);
        let sha256 = record.sha256.as_deref().unwrap_or("-");
        match &record.stamp {
            Stamp::Stat(stamp) => writeln!(
                self.staged,
                "{kind}\t{path}\t{by}\t{from}\t{options}\t{stamp}\t{}\t{sha256}",
                record.at
            ),
            Stamp::Text(text) => {
                let text = self.text(text)?;
                writeln!(
                    self.staged,
                    "{kind}\t{path}\t{by}\t{from}\t{options}\t={text}\t{}\t{sha256}",
                    record.at
                )
            }
        }
    }

    /// Is there a record of something from there?
    pub(crate) fn has_from(&self, from: &str) -> bool {
        self.texts.get(from).is_some_and(|number| self.from.contains(number))
    }

    /// After all records.
    pub(crate) fn add_whole(&mut self, whole: &Whole) -> Result<(), Error> {
        let mut write = || {
            let (from, by) = (self.text(&whole.from)?, self.text(&whole.by)?);
            let (options, identity) = (self.text(&whole.options)?, self.text(&whole.identity)?);
            writeln!(self.staged, "w\t{from}\t{by}\t{options}\t{identity}\t{}", whole.files)
        };
        write().at("write", &self.path)
    }

    /// The number of a text, which is written when it is new.
    fn text(&mut self, text: &Arc<str>) -> std::io::Result<usize> {
        if let Some(&number) = self.texts.get(text) {
            return Ok(number);
        }
        let number = self.texts.len();
        writeln!(self.staged, "s\t{}", percent_encode(text.as_bytes(), ESCAPED))?;
        self.texts.insert(Arc::clone(text), number);
        Ok(number)
    }

    /// Makes it durable and visible.
    pub(crate) fn publish(mut self, durable: bool) -> Result<(), Error> {
        writeln!(self.staged, "{END}{}", self.entries).at("write", &self.path)?;
        let path = self.path;
        let staged = self.staged.into_inner().map_err(std::io::IntoInnerError::into_error);
        staged
            .and_then(|staged| staged.0.publish_as(MODE, durable))
            .at("write", &path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::content::fingerprint::Fingerprint;
    use crate::dest::beneath::Root;
    use crate::plan::names::RECEIPT;
    use crate::receipt::{Keeping, Receipt};

    fn record(path: &[u8], stamp: Stamp) -> Record {
        Record {
            path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
            by: "default".into(),
            from: "/src".into(),
            options: "".into(),
            stamp,
            dir: false,
            mark: Mark::Put,
            at: Fingerprint::within(3, -7),
            sha256: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again_whatever_the_names() {
        let dir = tempfile::tempdir().unwrap();
        let stat = Stamp::Stat(Fingerprint::within(u64::MAX, i64::MIN));
        let records = [
            Record {
                dir: true,
                mark: Mark::Put,
                sha256: Some("00".into()),
                ..record(b"", Stamp::Text("".into()))
            },
            record(b"a/\"quoted\" 100%\t\n", stat.clone()),
            record("é".as_bytes(), stat),
            record(b"\xff\xfe", Stamp::Text("sha256:x\ty".into())),
        ];
        let mut writer = Writer::create(dir.path().join(RECEIPT), None).unwrap();
        for record in &records {
            writer.add(record).unwrap();
        }
        writer.publish(true).unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(Receipt::open(&root, &Keeping::Inside).collect::<Vec<_>>(), records);
    }

    #[test]
    fn one_that_cannot_be_believed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert!(Receipt::open(&root, &Keeping::Inside).is_empty());
        let texts = [
            "",
            "{}",
            "init-copy receipt 3\n",
            "init-copy receipt 2\nend\t0\n",
            "garbage\nend\t0\n",
            "init-copy receipt 3\nf\ta\nend\t1\n",
            "init-copy receipt 3\nf\ta\t0\t0\t0\t1.2.3.4\t1.2.3.4\t-\nend\t1\n",
        ];
        for text in texts {
            std::fs::write(dir.path().join(RECEIPT), text).unwrap();
            assert!(Receipt::open(&root, &Keeping::Inside).is_empty(), "{text:?}");
        }
        for (path, is_believed) in [
            ("a", true),
            ("a/b", true),
            ("..", false),
            ("../a", false),
            ("a/..", false),
            ("/etc/passwd", false),
            ("%2e%2e/a", false),
            ("a//b", false),
        ] {
            let text = format!("init-copy receipt 3\ns\tx\nf\t{path}\t0\t0\t0\t1.2.3.4\t1.2.3.4\t-\nend\t1\n");
            std::fs::write(dir.path().join(RECEIPT), text).unwrap();
            assert_eq!(
                Receipt::open(&root, &Keeping::Inside).count() == 1,
                is_believed,
                "{path}"
            );
        }
        let line = |path: &str| format!("f\t{path}\t0\t0\t0\t1.2.3.4\t1.2.3.4\t-\n");
        for (paths, believed) in [(["a", "b"], 2), (["b", "a"], 1)] {
            let text = format!("init-copy receipt 3\ns\tx\n{}end\t2\n", paths.map(line).concat());
            std::fs::write(dir.path().join(RECEIPT), text).unwrap();
            let found = Receipt::open(&root, &Keeping::Inside).count();
            assert_eq!(found, believed, "{paths:?}");
        }
    }
}
