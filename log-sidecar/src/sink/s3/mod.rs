//! Objects in a bucket of S3, or of what speaks like it: one JSON object a line, packed if asked.
//!
//! Each batch is one object. Its key follows from what is in it, and it is put only where none is, so that what is sent again after a lost
//! answer or a kill is there once: Amazon S3 API Reference, `PutObject`, `If-None-Match`. Stores that do not know that header take the
//! same object once more.

mod keys;

use std::cell::Cell;
use std::io::Write as _;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, StatusCode, Uri};
use humantime::format_rfc3339_seconds;
use pod_contract::aws::{Buckets, UNSIGNED_PAYLOAD, sign};
use pod_contract::units::hex;
use sha2::{Digest as _, Sha256};

use self::keys::Keys;
use super::document::Encoder;
use super::http::{Http, excerpt, refused};
use super::target::Folder;
use super::{Answer, Compress, Network, Verdict};
use crate::batch::Record;
use crate::parse::{Shape, millis};
use crate::recycle::Recycled;

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;
/// Documents that are packed at once, bytes.
const PART: usize = 64 << 10;
/// The digest of what is in an object, in its key, bytes.
const DIGEST: usize = 8;

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
    pub(crate) fn new(folder: &Folder, buckets: Buckets, network: Network, shape: &Shape) -> Self {
        Self {
            folder: folder.clone(),
            keys: Keys::default(),
            headers: network.headers.clone(),
            compress: network.compress,
            buckets,
            encoder: Encoder::new(shape).with_ids(),
            overwrites: Cell::new(false),
            http: Http::new(network),
        }
    }

    /// Is somebody there, and do we have keys? Whether they may write shows with the first object: a right to look is not needed.
    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.keys.get(&self.http, &self.buckets.origin).await?;
        self.http.greet(&self.buckets.url(&self.folder.bucket, "")).await
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let url = self.buckets.url(&self.folder.bucket, &self.key(records, read_at));
        let body = self.encode(records, read_at);
        let headers = match self.signed(&url, &body).await {
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

    /// The folder, when the batch was read, and what is in it: a part of one is another object than the whole.
    fn key(&self, records: &[Record<'_>], read_at: SystemTime) -> String {
        let since = read_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut digest = Sha256::new();
        digest.update(since.as_nanos().to_be_bytes());
        digest.update(records.len().to_be_bytes());
        for record in records.first().into_iter().chain(records.last()) {
            digest.update(record.id());
        }
        let (folder, time) = (self.folder.prefix.at(millis(read_at)), format_rfc3339_seconds(read_at));
        let time = time.to_string().replace(['-', ':'], "");
        let digest = hex(&digest.finalize()[..DIGEST]);
        let packed = match self.compress {
            Compress::None => "",
            Compress::Gzip => ".gz",
        };
        format!("{folder}{time}-{digest}.ndjson{packed}")
    }

    fn encode(&self, records: &[Record<'_>], read_at: SystemTime) -> Recycled {
        let text: usize = records.iter().map(|record| record.text.len()).sum();
        let size = text + records.len() * AROUND;
        let bodies = &self.http.bodies;
        let mut documents = self.encoder.documents(read_at);
        if self.compress == Compress::None {
            let mut body = bodies.take(size);
            records.iter().for_each(|record| documents.add(&mut body, record));
            return body;
        }
        // The whole is never there unpacked.
        let mut packer = GzEncoder::new(bodies.take(size / 8), Compression::fast());
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

    /// The headers of an object, with what makes them signed; with keys only, which public buckets do not ask for.
    async fn signed(&self, url: &str, body: &[u8]) -> Result<Vec<(&'static str, String)>, String> {
        let kind = match self.compress {
            Compress::None => "application/x-ndjson",
            Compress::Gzip => "application/gzip",
        };
        let mut headers = vec![("content-type", kind.to_owned())];
        if !self.overwrites.get() {
            headers.push(("if-none-match", "*".to_owned()));
        }
        let Some(keys) = self.keys.get(&self.http, &self.buckets.origin).await? else {
            return Ok(headers);
        };
        let checksum = STANDARD.encode(crc32fast::hash(body).to_be_bytes());
        headers.push(("x-amz-checksum-crc32", checksum));
        let uri: Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
        // TLS guards it, or else the signature does.
        let payload = match uri.scheme_str() {
            Some("https") => UNSIGNED_PAYLOAD.to_owned(),
            _ => hex(&Sha256::digest(body)),
        };
        let own = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str()));
        let given = given.filter_map(|(name, value)| Some((name, value.ok()?)));
        let to_sign: Vec<_> = own
            .chain(given)
            .filter(|(name, _)| name.starts_with("x-amz-"))
            .collect();
        let signing = self.buckets.signing(&keys);
        let added = sign(&signing, "PUT", &uri, &to_sign, &payload, SystemTime::now());
        headers.extend(added);
        Ok(headers)
    }

    fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
        let said = excerpt(body);
        if said.contains("ExpiredToken") {
            self.keys.forget();
        }
        let why = format!("status {status}: {}", said.trim_end());
        match status {
            _ if status.is_success() => Answer::Each(vec![Verdict::Delivered; sent]),
            // It was put there before.
            StatusCode::PRECONDITION_FAILED if !self.overwrites.get() => Answer::Each(vec![Verdict::Delivered; sent]),
            StatusCode::NOT_IMPLEMENTED if !self.overwrites.replace(true) => Answer::Later {
                why: format!("the store does not know If-None-Match, and is asked without: {why}"),
                after: None,
                is_unclear: false,
            },
            _ => refused(status, headers, body, why, &[]),
        }
    }
}
