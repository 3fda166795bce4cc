//! One file over HTTP, whatever happens on the way.

use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::thread;

use pod_contract::start::exit::Failure;

use super::client::{Answer, Authorization, Client, Request};
use super::part::{Facts, Part};
use super::retry::{Problem, Tries, http_date};
use super::url::WebUrl;
use crate::content::checksum::{Expected, Hasher};
use crate::dest::beneath::Root;
use crate::error::{At as _, Error, NETWORK, NO_SPACE};
use crate::plan::names::PartName;
use crate::progress::Progress;
use pod_contract::units::hex;

const BUFFER: usize = 128 << 10;

/// What to download.
#[derive(Debug)]
pub(crate) struct Download<'d> {
    pub(crate) url: &'d WebUrl,
    pub(crate) authorization: Option<Authorization<'d>>,
    /// The same part goes on with the same bytes.
    pub(crate) part: PartName,
    pub(crate) expected: Option<&'d Expected>,
    /// Known beforehand, as from a manifest.
    pub(crate) size: Option<u64>,
    pub(crate) max_bytes: u64,
    pub(crate) tries: u32,
    pub(crate) durable: bool,
    /// What is in place already: then "not modified" is an answer.
    pub(crate) known: Option<Tag>,
}

/// A strong entity tag, and the URL whose answer had it: at another one it means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) value: String,
    /// [`WebUrl::label`] of where the redirects ended.
    pub(crate) at: String,
}

/// What has been downloaded.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// Its name in the destination.
    pub(crate) part: PathBuf,
    pub(crate) size: u64,
    pub(crate) sha256: String,
    /// The strong entity tag that came with it.
    pub(crate) tag: Option<Tag>,
}

/// Downloads into the destination `root`; `None` when what is known is still right.
pub(crate) fn download(
    client: &Client,
    root: &Root,
    what: &Download<'_>,
    progress: &Progress,
) -> Result<Option<Fetched>, Error> {
    let mut transfer = Transfer::resume(client, root, what, progress)?;
    match transfer.persevere() {
        Ok(End::Complete) => transfer.complete().map(Some),
        Ok(End::Unchanged) => {
            transfer.part.remove();
            Ok(None)
        }
        Err(error) => {
            // On a full volume, it would keep out everything else for nothing.
            if !transfer.can_go_on() || error.is_no_space() {
                transfer.part.remove();
            }
            Err(error)
        }
    }
}

/// Forgets the part of a download that has been published.
pub(crate) fn forget(root: &Root, part: &std::path::Path) {
    if let Some(part) = PartName::parse(part.as_os_str()) {
        super::part::remove(root, &part);
    }
}

enum End {
    Complete,
    Unchanged,
}

enum Stop {
    Problem(Problem),
    Error(Error),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct Transfer<'t> {
    client: &'t Client,
    what: &'t Download<'t>,
    progress: &'t Progress,
    part: Part<'t>,
    facts: Facts,
    /// Bytes that are there, and hashed.
    at: u64,
    total: Option<u64>,
    /// The bytes are of several answers.
    resumed: bool,
    /// What is in place already, as long as it may be what is asked for.
    known: Option<&'t Tag>,
    /// Of all bytes so far: the digest asked for, and SHA-256 for the receipt.
    hashers: (Option<Hasher>, Hasher),
    buffer: Vec<u8>,
}

impl<'t> Transfer<'t> {
    fn resume(
        client: &'t Client,
        root: &'t Root,
        what: &'t Download<'t>,
        progress: &'t Progress,
    ) -> Result<Self, Error> {
        let part = Part::open(root, &what.part)?;
        let facts = part.facts();
        let mut transfer = Self {
            client,
            what,
            progress,
            facts: facts.clone().unwrap_or_default(),
            part,
            at: 0,
            resumed: false,
            known: what.known.as_ref(),
            total: what.size,
            hashers: (what.expected.map(Expected::hasher), Hasher::sha256()),
            buffer: vec![0; BUFFER],
        };
        let there = transfer.part.length()?;
        // Without a digest to prove the whole, only a validator can say that the rest belongs to these bytes.
        let same = transfer.facts.asked == what.url.label() && transfer.facts.validator.is_some();
        let usable = facts.is_some() && (what.expected.is_some() || same);
        if usable && there > 0 && what.size.is_none_or(|size| there <= size) {
            transfer.hash_what_is_there(there)?;
            transfer.resumed = true;
            tracing::info!(url = %what.url, at = there, "going on with an interrupted download");
        } else {
            transfer
                .restart(Facts::default())
                .inspect_err(|_| transfer.part.remove())?;
        }
        if let Some(total) = transfer.total {
            progress.set_total(total);
        }
        Ok(transfer)
    }

    fn hash_what_is_there(&mut self, length: u64) -> Result<(), Error> {
        while self.at < length {
            let most = usize::try_from(length - self.at).unwrap_or(BUFFER).min(BUFFER);
            let shown = self.part.shown();
            self.part
                .file
                .read_exact_at(&mut self.buffer[..most], self.at)
                .at("read", &shown)?;
            self.hash(most);
            self.at += most as u64;
        }
        self.progress.set_done(self.at);
        Ok(())
    }

    fn hash(&mut self, length: usize) {
        let bytes = &self.buffer[..length];
        if let Some(hasher) = &mut self.hashers.0 {
            hasher.update(bytes);
        }
        self.hashers.1.update(bytes);
    }

    fn restart(&mut self, facts: Facts) -> Result<(), Error> {
        self.part.restart(&facts)?;
        self.facts = facts;
        self.at = 0;
        self.resumed = false;
        self.progress.set_done(0);
        self.hashers = (self.what.expected.map(Expected::hasher), Hasher::sha256());
        Ok(())
    }

    /// Tries until it is done, there is no use in it, or it was tried often enough.
    fn persevere(&mut self) -> Result<End, Error> {
        let mut tries = Tries::new(self.what.tries);
        // Only what goes beyond is progress: a download that starts over again and again gains nothing.
        let mut furthest = self.at;
        loop {
            let problem = match self.attempt() {
                Ok(Some(End::Complete)) if self.is_stale() => {
                    tracing::warn!(url = %self.what.url, "its parts do not belong together: starting over");
                    self.restart(Facts::default())?;
                    continue;
                }
                Ok(Some(end)) => return Ok(end),
                Ok(None) => continue,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Problem(problem)) => problem,
            };
            let (why, after) = match problem {
                Problem::Final(failure) => return Err(failure.into()),
                Problem::Passing { why, after } => (why, after),
            };
            if self.at > furthest {
                furthest = self.at;
                tries.progressed();
            }
            let Some(pause) = tries.next(after, fastrand::f64()) else {
                let cause = format!("{}, {} tries without progress", why.cause, tries.done());
                return Err(Failure::new(why.code, cause).remedy(why.remedy).into());
            };
            let deadline = self.client.deadline();
            if deadline.left().is_some_and(|left| left <= pause) {
                return Err(deadline.failure(&why.cause).into());
            }
            tracing::warn!(error = why.cause, at = self.at, again_in = ?pause, "the download is interrupted");
            thread::sleep(pause);
        }
    }

    /// Are the bytes so far of use to a next run?
    fn can_go_on(&self) -> bool {
        self.at > 0 && (self.what.expected.is_some() || self.facts.validator.is_some())
    }

    /// One request; `None` asks for another one at once.
    fn attempt(&mut self) -> Result<Option<End>, Stop> {
        if self.total.is_some_and(|total| total == self.at) && self.at > 0 {
            return Ok(Some(End::Complete));
        }
        if self.at > 0 && self.what.expected.is_none() && self.facts.validator.is_none() {
            // Nothing would tell that the rest is of another version.
            self.restart(Facts::default())?;
        }
        let headers = self.conditions();
        let answer = self.client.get(&Request {
            url: self.what.url,
            headers: &headers,
            authorization: self.what.authorization,
        })?;
        match answer.status() {
            200 => {
                self.take_length(answer.header("content-length").and_then(|text| text.parse().ok()))?;
                self.restart(Facts {
                    asked: self.what.url.label(),
                    answered: answer.url.label(),
                    validator: validator(&answer),
                })?;
                self.body(answer)
            }
            206 if self.is_of_another_version(&answer) => {
                self.restart(Facts::default())?;
                Ok(None)
            }
            206 => {
                let range = answer.header("content-range").and_then(content_range);
                match range {
                    Some((start, total)) if start == self.at && self.at > 0 => {
                        self.resumed = true;
                        self.take_length(total)?;
                    }
                    _ => {
                        let cause = format!(
                            "{} answers with another part than the one asked for, at {}",
                            answer.url, self.at
                        );
                        self.restart(Facts::default())?;
                        return Err(Problem::passing(NETWORK, cause).into());
                    }
                }
                self.body(answer)
            }
            304 if self.at == 0
                && let Some(tag) = self.known =>
            {
                if tag.at == answer.url.label() {
                    return Ok(Some(End::Unchanged));
                }
                // A redirect leads elsewhere than it did: the same tag may be on other content there.
                self.known = None;
                Ok(None)
            }
            416 if self.is_of_another_version(&answer) => {
                self.restart(Facts::default())?;
                Ok(None)
            }
            416 if self.at > 0 => {
                let total = answer
                    .header("content-range")
                    .and_then(|text| text.strip_prefix("bytes */")?.parse().ok());
                if total == Some(self.at) {
                    return Ok(Some(End::Complete));
                }
                self.restart(Facts::default())?;
                Ok(None)
            }
            _ => Err(Client::refuse(&answer).into()),
        }
    }

    /// Only the rest, and only of the same version; or only what is not in place yet.
    fn conditions(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if self.at > 0 {
            headers.push(("range", format!("bytes={}-", self.at)));
            if let Some(validator) = &self.facts.validator {
                headers.push(("if-range", validator.clone()));
            }
        } else if let Some(tag) = self.known {
            headers.push(("if-none-match", tag.value.clone()));
        }
        headers
    }

    /// Some servers ignore `If-Range`; the validator of a part is that of the whole (RFC 9110, section 15.3.7).
    fn is_of_another_version(&self, answer: &Answer) -> bool {
        let (before, now) = (&self.facts.validator, validator(answer));
        let elsewhere = self.what.expected.is_none() && self.facts.answered != answer.url.label();
        self.at > 0 && (elsewhere || (before.is_some() && now.is_some() && *before != now))
    }

    /// What the server says of the whole has to be what is known, and may not be too much.
    fn take_length(&mut self, total: Option<u64>) -> Result<(), Stop> {
        if let (Some(known), Some(total)) = (self.what.size, total)
            && known != total
        {
            let cause = format!("{} has {total} bytes, and {known} were announced", self.what.url);
            return Err(Problem::Final(Failure::new(NETWORK, cause)).into());
        }
        self.total = self.what.size.or(total);
        if let Some(total) = self.total {
            self.progress.set_total(total);
            self.refuse_too_much(total)?;
            self.part.refuse_too_large(total)?;
        }
        Ok(())
    }

    fn refuse_too_much(&self, bytes: u64) -> Result<(), Error> {
        if bytes <= self.what.max_bytes {
            return Ok(());
        }
        self.part.remove();
        let cause = format!("{} has more than {} bytes", self.what.url, self.what.max_bytes);
        Err(Error::new(
            NO_SPACE,
            cause,
            "raise --max-bytes if it is meant to be that large",
        ))
    }

    fn body(&mut self, answer: Answer) -> Result<Option<End>, Stop> {
        let url = answer.url.clone();
        if self.total.is_none() && self.what.expected.is_none() && answer.header("transfer-encoding").is_none() {
            let cause = format!("{url} gives no length, so that nobody could tell a cut from the end");
            let failure = Failure::new(NETWORK, cause).remedy("give the digest with --sha256");
            return Err(Problem::Final(failure).into());
        }
        let mut body = answer.response.into_body().into_with_config().limit(u64::MAX).reader();
        loop {
            let read = match body.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.client.sort(&url, ureq::Error::from(error)).into()),
            };
            self.refuse_too_much(self.at + read as u64)?;
            let shown = self.part.shown();
            self.part
                .file
                .write_all_at(&self.buffer[..read], self.at)
                .at("write", &shown)?;
            self.hash(read);
            self.at += read as u64;
            self.progress.add(read as u64);
            if self.client.deadline().has_passed() {
                return Err(Problem::Final(self.client.deadline().failure(&format!("fetching {url}"))).into());
            }
        }
        match self.total {
            Some(total) if self.at < total => {
                let cause = format!("{url} ended after {} of {total} bytes", self.at);
                Err(Problem::passing(NETWORK, cause).into())
            }
            Some(total) if self.at > total => {
                let cause = format!("{url} sent {} bytes instead of {total}", self.at);
                self.part.remove();
                Err(Problem::Final(Failure::new(NETWORK, cause)).into())
            }
            _ => Ok(Some(End::Complete)),
        }
    }

    /// Is it complete, wrong, and put together of several answers? Then the fault may lie in that.
    fn is_stale(&self) -> bool {
        match (self.what.expected, &self.hashers.0) {
            (Some(expected), Some(hasher)) if self.resumed => expected.verify(&hasher.clone().finish()).is_err(),
            _ => false,
        }
    }

    fn complete(self) -> Result<Fetched, Error> {
        if let (Some(expected), Some(hasher)) = (self.what.expected, self.hashers.0)
            && let Err(why) = expected.verify(&hasher.finish())
        {
            // The next run starts anew: these bytes lead nowhere.
            self.part.remove();
            return Err(crate::content::checksum::mismatch(&self.what.url.to_string(), &why));
        }
        if self.what.durable {
            self.part.sync()?;
        }
        Ok(Fetched {
            part: self.part.name(),
            size: self.at,
            sha256: hex(&self.hashers.1.finish()),
            tag: self
                .facts
                .validator
                .filter(|validator| validator.starts_with('"'))
                .map(|value| Tag {
                    value,
                    at: self.facts.answered,
                }),
        })
    }
}

/// A strong entity tag, or a date that is a strong validator (RFC 9110, sections 13.1.5 and 8.8.2.2): a second before the answer.
fn validator(answer: &Answer) -> Option<String> {
    if let Some(tag) = answer.header("etag").filter(|tag| tag.starts_with('"')) {
        return Some(tag.to_owned());
    }
    let modified = answer.header("last-modified")?;
    let is_strong = http_date(modified)? < http_date(answer.header("date")?)?;
    is_strong.then(|| modified.to_owned())
}

/// Start and total of `bytes 5-9/10` (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end): (u64, u64) = (start.parse().ok()?, end.parse().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (start <= end && total.is_none_or(|total| end < total)).then_some((start, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "bytes 9-5/10",
            "bytes 5-10/10",
            "bytes 5-/10",
            "bytes */10",
            "5-9/10",
            "",
        ] {
            assert_eq!(content_range(bad), None, "{bad:?}");
        }
    }
}
