//! Objects in buckets: S3 and what speaks like it. An object is a file that is asked for by signed requests.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use pod_contract::aws::{Bucket, Buckets, Credentials, Place, UNSIGNED_PAYLOAD, sign};
use pod_contract::start::exit::{Failure, USAGE};

use super::client::{Authorization, Client, Request, Sign};
use super::retry::Problem;
use super::url::WebUrl;
use crate::error::AUTH;

/// Keys, or what is wrong.
const MAX_ANSWER: u64 = 64 << 10;

/// `s3://bucket/key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    bucket: Bucket,
    key: String,
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        let bucket = bucket.parse()?;
        if key.is_empty() || key.ends_with('/') {
            return Err(
                "it names no object: give its whole key, since all that begins with a prefix is not copied".into(),
            );
        }
        Ok(Self {
            bucket,
            key: key.into(),
        })
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

impl Object {
    /// The last name of the key.
    pub(crate) fn file_name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }
}

/// Where the objects of a step are, and who we are there.
#[derive(Debug)]
pub(crate) struct Store {
    buckets: Buckets,
    keys: Mutex<Option<Credentials>>,
}

impl Store {
    pub(crate) fn new(place: Place) -> Result<Self, Failure> {
        Ok(Self {
            buckets: Buckets::new(place)?,
            keys: Mutex::new(None),
        })
    }

    pub(crate) fn url(&self, object: &Object) -> Result<WebUrl, Failure> {
        let url = self.buckets.url(&object.bucket, &object.key);
        url.parse()
            .map_err(|why| Failure::new(USAGE, format!("the endpoint of {object} is refused: {why}")))
    }

    fn keys(&self, client: &Client) -> Result<Option<Credentials>, Problem> {
        let mut kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = self.buckets.origin.at_hand(kept.as_ref(), SystemTime::now()) {
            return Ok(keys);
        }
        *kept = self.ask(client)?;
        Ok(kept.clone())
    }

    fn ask(&self, client: &Client) -> Result<Option<Credentials>, Problem> {
        let Some(asked) = self.buckets.origin.ask().map_err(Problem::Final)? else {
            return Ok(None);
        };
        let refused = |why: String| {
            let remedy = "check the role, the token's audience and the address of the token service";
            Problem::Final(Failure::new(AUTH, why).remedy(remedy))
        };
        let url: WebUrl = asked
            .url
            .parse()
            .map_err(|why| refused(format!("the address to ask for keys is refused: {why}")))?;
        let answer = client.get(&Request {
            url: &url,
            headers: &[],
            authorization: Some(Authorization::ForKeys(asked.authorization.as_deref())),
        })?;
        match (answer.status(), &answer.said) {
            (200, _) => {}
            (status @ 300..=499, said) if status != 429 => {
                let said = said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default();
                return Err(refused(format!("{url} answers {status}{said} instead of keys")));
            }
            _ => return Err(Client::refuse(&answer)),
        }
        let mut text = String::new();
        let body = answer.response.into_body().into_reader();
        body.take(MAX_ANSWER)
            .read_to_string(&mut text)
            .map_err(|e| client.sort(&url, ureq::Error::from(e)))?;
        let keys = self.buckets.origin.take(&text);
        keys.map(Some)
            .map_err(|why| refused(format!("{url} answers no keys: {why}")))
    }
}

impl Sign for Store {
    fn sign(&self, client: &Client, url: &WebUrl) -> Result<Vec<(&'static str, String)>, Problem> {
        let Some(credentials) = self.keys(client)? else {
            return Ok(Vec::new());
        };
        let signing = self.buckets.signing(&credentials);
        Ok(sign(
            &signing,
            "GET",
            url.uri(),
            &[],
            UNSIGNED_PAYLOAD,
            SystemTime::now(),
        ))
    }

    fn region(&self) -> &str {
        self.buckets.region()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_buckets_and_keys() {
        let object: Object = "bucket/dir/my model+1.bin".parse().unwrap();
        assert_eq!(object.file_name(), "my model+1.bin");
        assert_eq!(object.to_string(), "s3://bucket/dir/my model+1.bin");
        for bad in ["", "b/x", "Bucket/x", "bucket", "bucket/", "bucket/dir/", "b_cket/x"] {
            assert!(bad.parse::<Object>().is_err(), "{bad}");
        }
    }
}
