//! Objects in buckets: S3 and what speaks like it. An object is a file that is asked for by signed requests.

use std::fmt;
use std::io::Read as _;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use pod_contract::aws::{Credentials, Origin, Signing, UNSIGNED_PAYLOAD, domain, encoded_path, sign};
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
    bucket: String,
    key: String,
}

impl FromStr for Object {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (bucket, key) = text.split_once('/').unwrap_or((text, ""));
        let is_bucket = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_bucket) {
            return Err("a bucket has 3 to 63 lower-case letters, digits, dots and hyphens".into());
        }
        if key.is_empty() || key.ends_with('/') {
            return Err(
                "it names no object: give its whole key, since all that begins with a prefix is not copied".into(),
            );
        }
        Ok(Self {
            bucket: bucket.into(),
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
    endpoint: Option<String>,
    region: String,
    origin: Origin,
    keys: Mutex<Option<Credentials>>,
}

impl Store {
    /// As it was given, or else as the variables of the AWS tools have it.
    pub(crate) fn new(endpoint: Option<&WebUrl>, region: Option<&str>) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let region = region
            .map(str::to_owned)
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| "us-east-1".into());
        let endpoint = endpoint
            .map(|url| url.uri().to_string())
            .or_else(|| variable("AWS_ENDPOINT_URL_S3"))
            .or_else(|| variable("AWS_ENDPOINT_URL"));
        Ok(Self {
            origin: Origin::from_environment(variable, &region)?,
            endpoint,
            region,
            keys: Mutex::new(None),
        })
    }

    /// By path at an endpoint of its own and for buckets with dots, which no certificate covers; else by host.
    pub(crate) fn url(&self, object: &Object) -> Result<WebUrl, Failure> {
        let (bucket, region, key) = (&object.bucket, &self.region, encoded_path(&object.key));
        let url = match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None if bucket.contains('.') => format!("https://s3.{region}.{}/{bucket}/{key}", domain(region)),
            None => format!("https://{bucket}.s3.{region}.{}/{key}", domain(region)),
        };
        url.parse()
            .map_err(|why| Failure::new(USAGE, format!("the endpoint of {object} is refused: {why}")))
    }

    fn keys(&self, client: &Client) -> Result<Option<Credentials>, Problem> {
        match &self.origin {
            Origin::Given(credentials) => return Ok(Some(credentials.clone())),
            Origin::Anonymous => return Ok(None),
            Origin::WebIdentity { .. } | Origin::Container { .. } => {}
        }
        let mut kept = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fresh) = kept.as_ref().filter(|keys| keys.are_fresh(SystemTime::now())) {
            return Ok(Some(fresh.clone()));
        }
        *kept = self.ask(client)?;
        Ok(kept.clone())
    }

    fn ask(&self, client: &Client) -> Result<Option<Credentials>, Problem> {
        let Some(asked) = self.origin.ask().map_err(Problem::Final)? else {
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
        let keys = self.origin.take(&text);
        keys.map(Some)
            .map_err(|why| refused(format!("{url} answers no keys: {why}")))
    }
}

impl Sign for Store {
    fn sign(&self, client: &Client, url: &WebUrl) -> Result<Vec<(&'static str, String)>, Problem> {
        let Some(credentials) = self.keys(client)? else {
            return Ok(Vec::new());
        };
        let signing = Signing {
            credentials: &credentials,
            region: &self.region,
            service: "s3",
        };
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
        &self.region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_buckets_and_keys() {
        let object: Object = "bucket/dir/my model+1.bin".parse().unwrap();
        assert_eq!(object.file_name(), "my model+1.bin");
        let store = |endpoint: Option<&str>| Store {
            endpoint: endpoint.map(str::to_owned),
            region: "eu-north-1".into(),
            origin: Origin::Anonymous,
            keys: Mutex::new(None),
        };
        let of = |store: Store, text: &str| store.url(&text.parse().unwrap()).unwrap().uri().to_string();
        for (endpoint, text, url) in [
            (None, "bucket/a b", "https://bucket.s3.eu-north-1.amazonaws.com/a%20b"),
            (
                None,
                "my.bucket/é",
                "https://s3.eu-north-1.amazonaws.com/my.bucket/%C3%A9",
            ),
            (
                Some("http://127.0.0.1:9000/"),
                "bucket/a/b?c",
                "http://127.0.0.1:9000/bucket/a/b%3Fc",
            ),
        ] {
            assert_eq!(of(store(endpoint), text), url);
        }
        for bad in ["", "b/x", "Bucket/x", "bucket", "bucket/", "bucket/dir/", "b_cket/x"] {
            assert!(bad.parse::<Object>().is_err(), "{bad}");
        }
        assert!(
            ["bck/x".to_owned(), format!("{}/x", "b".repeat(63))]
                .iter()
                .all(|text| text.parse::<Object>().is_ok())
        );
        assert!(format!("{}/x", "b".repeat(64)).parse::<Object>().is_err());
    }
}
