//! A URL: one file, or an archive to unpack.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};

use super::Opening;
use super::unpack::Packed;
use crate::archive::Unpack;
use crate::ask::{Checksum, Step};
use crate::content::checksum::{Expected, MAX_FILE};
use crate::content::fingerprint::Fingerprint;
use crate::dest::beneath::Root;
use crate::error::{At as _, DIGEST, Error, SOURCE};
use crate::fetch::{Authorization, Client, Download, Fetched, Request, Tag, WebUrl, download, forget};
use crate::plan::names::PartName;
use crate::plan::safe_path;
use crate::plan::{Builder, Content, Entry, Kind, Opened, Share};

impl Opening<'_> {
    /// `at` is the number of the source.
    pub(super) fn web(
        &self,
        at: usize,
        url: &WebUrl,
        authorization: Option<Authorization<'_>>,
        builder: &mut Builder,
    ) -> Result<(), Error> {
        // With a digest, a URL says where content is to be had, and not what it is.
        let label = if self.expected.is_some() {
            url.to_string()
        } else {
            url.label()
        };
        // What is pinned by a digest needs no question; what has a tag is asked for by it.
        if let Some(expected) = self.expected
            && self.keep(&label, &expected.to_string(), builder)?
        {
            return Ok(());
        }
        let in_place = self.in_place(&label)?;
        let known = in_place
            .as_ref()
            .and_then(|found| found.identity.strip_prefix("etag:")?.rsplit_once(' '))
            .map(|(value, at)| Tag {
                value: value.to_owned(),
                at: at.to_owned(),
            });
        let what = Download {
            url,
            authorization,
            // A place has one download at a time, so that presigned URLs, each another one, leave no row of parts.
            part: PartName::of(
                self.owner,
                &match self.expected {
                    Some(expected) => expected.to_string(),
                    None => format!("{at} {}", self.rename.unwrap_or(Path::new("")).display()),
                },
            ),
            expected: self.expected,
            size: None,
            max_bytes: self.step.limits.bytes,
            tries: self.step.tries,
            durable: self.step.durable,
            known: if self.expected.is_none() { known } else { None },
        };
        let Some(base) = self.base else {
            let size = self.announced(url, authorization)?;
            return self.announce(&label, &self.file_name(url)?, size, builder);
        };
        let fetched = match (download(self.client, base, &what, self.progress)?, in_place) {
            (Some(fetched), _) => fetched,
            (None, Some(found)) => {
                tracing::info!(url = label, "not modified");
                return self.take(&label, found, builder);
            }
            (None, None) => return Err(Error::new(SOURCE, format!("{label} answers without content"), "")),
        };
        let identity = match (self.expected, &fetched.tag) {
            (Some(expected), _) => expected.to_string(),
            (None, Some(tag)) => format!("etag:{} {}", tag.value, tag.at),
            (None, None) => format!("sha256:{}", fetched.sha256),
        };
        let name = self.file_name(url)?;
        let file_name = url.file_name();
        let came = Came {
            label: &label,
            place: &name,
            name: Path::new(OsStr::from_bytes(&file_name)),
            identity,
            unpack: self.step.unpack != Unpack::Off,
            fetched,
        };
        self.fetched(base, came, builder)
    }

    /// The size that the server gives; nothing of the body is read.
    fn announced(&self, url: &WebUrl, authorization: Option<Authorization<'_>>) -> Result<u64, Error> {
        let request = Request {
            url,
            headers: &[],
            authorization,
        };
        match self.client.get(&request) {
            Ok(answer) if answer.status() == 200 => Ok(answer
                .header("content-length")
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)),
            Ok(answer) => Err(Client::refuse(&answer).into_failure().into()),
            Err(problem) => Err(problem.into_failure().into()),
        }
    }

    /// A file that a run would fetch; an archive counts as what it is packed.
    pub(super) fn announce(&self, label: &str, place: &Path, size: u64, builder: &mut Builder) -> Result<(), Error> {
        let place = if place.as_os_str().is_empty() {
            Path::new("(unpacked)")
        } else {
            place
        };
        builder.source(Opened {
            label: label.into(),
            prefix: place.to_owned(),
            content: Content::Announced,
            identity: Some(label.into()),
            part: None,
        });
        builder.push(file(place, size))
    }

    fn file_name(&self, url: &WebUrl) -> Result<PathBuf, Error> {
        if let Some(name) = self.rename {
            return Ok(name.to_owned());
        }
        if self.step.unpack != Unpack::Off {
            return Ok(PathBuf::new());
        }
        safe_path::relative(&url.file_name())
            .ok()
            .filter(|name| name.components().count() == 1)
            .ok_or_else(|| {
                Error::new(
                    SOURCE,
                    format!("{url} does not end in a name for the file"),
                    "name it: let DEST be the file, without a slash",
                )
            })
    }

    /// What lies under a part's name becomes one file at its place, or is unpacked below it.
    pub(super) fn fetched(&self, base: &Root, came: Came<'_>, builder: &mut Builder) -> Result<(), Error> {
        let Came {
            label,
            place,
            name,
            identity,
            fetched,
            unpack,
        } = came;
        if unpack {
            let part = fetched.part.clone();
            let packed = Packed {
                file: open_part(base, &part)?,
                label,
                prefix: place,
                name,
                identity,
                part: Some(fetched.part),
            };
            return self.unpack(packed, builder).inspect_err(|_| forget(base, &part));
        }
        builder.source(Opened {
            label: label.into(),
            prefix: place.to_owned(),
            content: Content::Fetched {
                part: fetched.part.clone(),
                sha256: fetched.sha256,
            },
            identity: Some(identity.into()),
            part: Some(fetched.part),
        });
        builder.push(file(place, fetched.size))
    }
}

/// What has been fetched, to be read.
pub(super) fn open_part(base: &Root, part: &Path) -> Result<File, Error> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(base, part, flags, Mode::empty()).at("read", &base.path().join(part))?;
    Ok(File::from(fd))
}

/// What came over the network.
pub(super) struct Came<'c> {
    pub(super) label: &'c str,
    /// Where it goes.
    pub(super) place: &'c Path,
    /// What it is called where it comes from.
    pub(super) name: &'c Path,
    pub(super) identity: String,
    pub(super) fetched: Fetched,
    pub(super) unpack: bool,
}

fn file(place: &Path, size: u64) -> Entry {
    Entry {
        target: place.into(),
        source: 0,
        number: 0,
        kind: Kind::File,
        mode: 0o644,
        share: Share::Alone,
        fingerprint: Fingerprint::within(size, 0),
        rendered: None,
    }
}

/// The digest that the step's one file has to have, wherever it is written down.
///
/// `source` is where the file itself comes from: its credentials are for a checksum file at the same origin only.
pub(crate) fn expected(
    step: &Step,
    client: &Client,
    name: &str,
    source: Option<&WebUrl>,
) -> Result<Option<Expected>, Error> {
    let (text, from) = match &step.checksum {
        None => return Ok(None),
        Some(Checksum::Given(expected)) => return Ok(Some(expected.clone())),
        Some(Checksum::File(path)) => {
            use std::io::Read as _;
            let mut text = String::new();
            let file = File::open(path).at("read", path)?;
            file.take(MAX_FILE).read_to_string(&mut text).at("read", path)?;
            (text, path.display().to_string())
        }
        Some(Checksum::Url(url)) => {
            let own = source.is_some_and(|source| source.same_origin(url));
            let authorization = if own { client.credentials().own()? } else { None };
            (ask(client, url, authorization.as_deref(), step.tries)?, url.to_string())
        }
    };
    Expected::from_file(&text, name).map(Some).map_err(|why| {
        Error::new(
            DIGEST,
            format!("the checksum file {from} cannot be used: {why}"),
            "check that it is of this version, and of SHA-2",
        )
    })
}

fn ask(client: &Client, url: &WebUrl, authorization: Option<&str>, tries: u32) -> Result<String, Error> {
    use std::io::Read as _;
    let text = client.persist(tries, "the server of the checksum file", || {
        let answer = client.get(&Request {
            url,
            headers: &[],
            authorization: authorization.map(Authorization::Header),
        })?;
        if answer.status() != 200 {
            return Err(Client::refuse(&answer));
        }
        let mut text = String::new();
        let body = answer.response.into_body().into_reader();
        body.take(MAX_FILE)
            .read_to_string(&mut text)
            .map(|_| text)
            .map_err(|e| client.sort(url, ureq::Error::from(e)))
    })?;
    Ok(text)
}
