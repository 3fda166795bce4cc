//! Objects in a bucket of S3, or of what speaks like it: one JSON object a line, packed if asked.
//!
//! Each batch is one object. It has the name of the batch, and is put only where none is, so that what is sent again after a lost
//! answer or a kill is there once: Amazon S3 API Reference, `PutObject`, `If-None-Match`. Stores that do not know that header take the
//! same object once more.

mod keys;

use std::cell::Cell;
use std::io::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::GzEncoder;
use http::{HeaderMap, StatusCode, Uri};
use humantime::format_rfc3339_seconds;
use pod_contract::aws::{Buckets, UNSIGNED_PAYLOAD, element, sign};
use pod_contract::units::hex;
use sha2::{Digest as _, Sha256};

use self::keys::Keys;
use super::bodies::LEVEL;
use super::document::Encoder;
use super::http::{Http, excerpt, refused};
use super::target::Folder;
use super::{Answer, Compress, Network, Verdict};
use crate::batch::{Lot, Record, text_bytes};
use crate::parse::{Shape, millis};
use crate::recycle::Recycled;

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;
/// Documents that are packed at once, bytes.
const PART: usize = 64 << 10;
/// Of the digest of a part, in its key, bytes.
const DIGEST: usize = 8;

const GIVE_KEYS: &str = "give keys that may put objects there: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a service account with a role, or an agent";

#[derive(Debug)]
pub(crate) struct S3 {
    pub(super) http: Http,
    buckets: Buckets,
    folder: Folder,
    keys: Keys,
    /// Of every request.
    headers: HeaderMap,
    compress: Compress,
    encoder: Encoder,
    /// The store does not know `If-None-Match`.
    overwrites: Cell<bool>,
}

impl S3 {
    pub(crate) fn new(folder: &Folder, network: Network, shape: &Shape) -> Self {
        Self {
            folder: folder.clone(),
            keys: Keys::default(),
            headers: network.headers.clone(),
            compress: network.compress,
            buckets: network.buckets.clone(),
            encoder: Encoder::new(shape).with_ids(),
            overwrites: Cell::new(false),
            http: Http::new(network),
        }
    }

    /// Is the bucket there, and do we have keys? Whether they may write shows with the first object: a right to look is not needed.
    pub(crate) async fn greet(&self) -> Result<(), String> {
        let bucket = &self.folder.bucket;
        let url = self.buckets.url(bucket, "");
        let headers = self.signed("HEAD", &url, Vec::new(), UNSIGNED_PAYLOAD).await?;
        let (status, headers, _) = self
            .http
            .head(&url, headers)
            .await
            .map_err(|unanswered| unanswered.why)?;
        match status {
            StatusCode::NOT_FOUND => Err(format!("there is no bucket {bucket}")),
            StatusCode::UNAUTHORIZED => Err(format!("status {status}: {GIVE_KEYS}")),
            StatusCode::MOVED_PERMANENTLY | StatusCode::BAD_REQUEST => {
                let region = headers
                    .get("x-amz-bucket-region")
                    .and_then(|region| region.to_str().ok());
                let region = region.map_or("another one".to_owned(), str::to_owned);
                let asked = self.buckets.region();
                Err(format!(
                    "status {status}: the bucket is in {region}, not in {asked}; give --s3-region"
                ))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], lot: Lot<'_>) -> Answer {
        let url = self.buckets.url(&self.folder.bucket, &self.key(records, lot));
        let body = self.encode(records, lot.read_at);
        let headers = match self.headers_of(&url, &body).await {
            Ok(headers) => headers,
            Err(why) => {
                return Answer::Later {
                    why,
                    after: None,
                    is_unclear: false,
                };
            }
        };
        match self.http.put(&url, headers, body).await {
            Ok((status, headers, body)) => self.judge(status, &headers, &body, records.len()),
            Err(unanswered) => unanswered.into(),
        }
    }

    /// The folder, when the batch was read, and its name; a part of it is another object than the whole.
    fn key(&self, records: &[Record<'_>], lot: Lot<'_>) -> String {
        let (folder, time) = (
            self.folder.prefix.at(millis(lot.read_at)),
            format_rfc3339_seconds(lot.read_at),
        );
        let time = time.to_string().replace(['-', ':'], "");
        let digest = |records: &[Record<'_>]| {
            let mut digest = Sha256::new();
            records.iter().for_each(|record| digest.update(record.id()));
            hex(&digest.finalize()[..DIGEST])
        };
        let name = match lot.name {
            Some(name) if records.len() == lot.records => name.to_owned(),
            Some(name) => format!("{name}-{}", digest(records)),
            None => digest(records),
        };
        let packed = match self.compress {
            Compress::None => "",
            Compress::Gzip => ".gz",
        };
        format!("{folder}{time}-{name}.ndjson{packed}")
    }

    fn encode(&self, records: &[Record<'_>], read_at: SystemTime) -> Recycled {
        let text = text_bytes(records);
        let size = text + records.len() * AROUND;
        let bodies = &self.http.bodies;
        let mut documents = self.encoder.documents(read_at);
        if self.compress == Compress::None {
            let mut body = bodies.take(size);
            records.iter().for_each(|record| documents.add(&mut body, record));
            return body;
        }
        // The whole is never there unpacked.
        let mut packer = GzEncoder::new(bodies.take(size / 8), LEVEL);
        let mut part = bodies.take(PART);
        let mut pack = |part: &mut Vec<u8>| packer.write_all(part).expect("memory can be written to");
        for record in records {
            documents.add(&mut part, record);
            if part.len() >= PART {
                pack(&mut part);
                part.clear();
            }
        }
        pack(&mut part);
        packer.finish().expect("memory can be written to")
    }

    /// The headers of an object, with those that make it a signed one.
    async fn headers_of(&self, url: &str, body: &[u8]) -> Result<Vec<(&'static str, String)>, String> {
        let kind = match self.compress {
            Compress::None => "application/x-ndjson",
            Compress::Gzip => "application/gzip",
        };
        let checksum = STANDARD.encode(crc32fast::hash(body).to_be_bytes());
        let mut headers = vec![("content-type", kind.to_owned()), ("x-amz-checksum-crc32", checksum)];
        if !self.overwrites.get() {
            headers.push(("if-none-match", "*".to_owned()));
        }
        // TLS guards it, or else the signature does.
        let payload = if url.starts_with("https:") {
            UNSIGNED_PAYLOAD.to_owned()
        } else {
            hex(&Sha256::digest(body))
        };
        self.signed("PUT", url, headers, &payload).await
    }

    /// With what makes a request a signed one; without keys, as it is.
    async fn signed(
        &self,
        method: &str,
        url: &str,
        mut headers: Vec<(&'static str, String)>,
        payload: &str,
    ) -> Result<Vec<(&'static str, String)>, String> {
        let Some(keys) = self.keys.get(&self.http, &self.buckets.origin).await? else {
            return Ok(headers);
        };
        let uri: Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
        let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str()));
        let given = given.filter_map(|(name, value)| Some((name, value.ok()?)));
        let to_sign: Vec<_> = own
            .chain(given)
            .filter(|(name, _)| name.starts_with("x-amz-"))
            .collect();
        let added = sign(
            &self.buckets.signing(&keys),
            method,
            &uri,
            &to_sign,
            payload,
            SystemTime::now(),
        );
        headers.extend(added);
        Ok(headers)
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
        let said = said(body);
        if said.contains("ExpiredToken") || said.contains("InvalidToken") {
            self.keys.forget();
        }
        let why = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!("status {status}: {said}; {GIVE_KEYS}"),
            _ => format!("status {status}: {said}"),
        };
        match status {
            _ if status.is_success() => Answer::Each(vec![Verdict::Delivered; sent]),
            // It was put there before.
            StatusCode::PRECONDITION_FAILED if !self.overwrites.get() => Answer::Each(vec![Verdict::Delivered; sent]),
            StatusCode::NOT_IMPLEMENTED if said.contains("NotImplemented") && !self.overwrites.replace(true) => {
                tracing::warn!(
                    "the store does not know If-None-Match: from now on, what is sent again is put in the place of the same object"
                );
                Answer::Later {
                    why,
                    after: None,
                    is_unclear: false,
                }
            }
            _ => refused(status, headers, body, why, &[]),
        }
    }
}

/// What an answer says, for people, and nothing else: some repeat the token that they refuse.
fn said(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match (element(&text, "Code"), element(&text, "Message")) {
        (Some(code), Some(message)) => format!("{code}: {}", excerpt(message.as_bytes())),
        (Some(code), None) => code.to_owned(),
        _ => excerpt(body).trim_end().to_owned(),
    }
}
