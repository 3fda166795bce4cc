//! Buckets, and where they are. Source: Amazon S3 User Guide, "Bucket naming rules" and "Virtual hosting of general purpose buckets".

use std::fmt;
use std::str::FromStr;

use super::settings::Endpoint;
use super::{Credentials, Origin, Place, Signing, domain, encoded_path};
use crate::config::Setting as _;
use crate::start::exit::{Failure, USAGE};

/// The name of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket(String);

impl FromStr for Bucket {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if (3..=63).contains(&name.len()) && name.bytes().all(is_allowed) {
            Ok(Self(name.into()))
        } else {
            Err("a bucket has 3 to 63 lower-case letters, digits, dots and hyphens".into())
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where buckets are, and whose keys requests to them are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buckets {
    endpoint: Option<String>,
    region: String,
    /// Of the keys.
    pub origin: Origin,
}

/// Those of AWS, and no keys.
impl Default for Buckets {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: DEFAULT_REGION.into(),
            origin: Origin::Anonymous,
        }
    }
}

const DEFAULT_REGION: &str = "us-east-1";

impl Buckets {
    /// As it was given, or else as the variables of the AWS tools have it.
    ///
    /// # Errors
    /// When the variables for keys contradict each other.
    pub fn new(Place { endpoint, region }: Place) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let region = region
            .or_else(|| variable("AWS_REGION"))
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| DEFAULT_REGION.into());
        let endpoint = match endpoint {
            Some(given) => Some(given),
            None => endpoint_of(variable)?,
        };
        Ok(Self {
            origin: Origin::from_environment(variable, &region)?,
            endpoint,
            region,
        })
    }

    /// Is it spoken to in TLS?
    pub fn is_encrypted(&self) -> bool {
        let endpoint = self.endpoint.as_deref().unwrap_or("https:");
        endpoint.starts_with("https:")
    }

    /// Of an object: by path at an endpoint of its own and for buckets with dots, which no certificate covers; else by host.
    pub fn url(&self, Bucket(bucket): &Bucket, key: &str) -> String {
        let (region, key) = (&self.region, encoded_path(key));
        match &self.endpoint {
            Some(endpoint) => format!("{}/{bucket}/{key}", endpoint.trim_end_matches('/')),
            None if bucket.contains('.') => format!("https://s3.{region}.{}/{bucket}/{key}", domain(region)),
            None => format!("https://{bucket}.s3.{region}.{}/{key}", domain(region)),
        }
    }

    /// Such as `eu-north-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// For a request.
    pub fn signing<'s>(&'s self, credentials: &'s Credentials) -> Signing<'s> {
        Signing {
            credentials,
            region: &self.region,
            service: "s3",
        }
    }
}

/// As the variables have it.
fn endpoint_of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<String>, Failure> {
    let names = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];
    let found = names.into_iter().find_map(|name| Some((name, variable(name)?)));
    let Some((name, text)) = found else { return Ok(None) };
    let Endpoint(url) = Endpoint::parse(text.trim()).map_err(|why| {
        Failure::new(USAGE, format!("{name} is no {}: {why}", Endpoint::FORM))
            .remedy("correct the variable, or give --s3-endpoint")
    })?;
    Ok(Some(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_by_host_or_by_path() {
        for (endpoint, bucket, key, url) in [
            (
                None,
                "bucket",
                "a b",
                "https://bucket.s3.eu-north-1.amazonaws.com/a%20b",
            ),
            (
                None,
                "my.bucket",
                "é",
                "https://s3.eu-north-1.amazonaws.com/my.bucket/%C3%A9",
            ),
            (
                Some("http://127.0.0.1:9000/"),
                "bucket",
                "a/b?c",
                "http://127.0.0.1:9000/bucket/a/b%3Fc",
            ),
        ] {
            let buckets = Buckets {
                endpoint: endpoint.map(str::to_owned),
                region: "eu-north-1".into(),
                origin: Origin::Anonymous,
            };
            assert_eq!(buckets.url(&bucket.parse().unwrap(), key), url);
        }
    }

    #[test]
    fn variables_are_as_good_as_flags_or_refused() {
        let of = |pairs: &[(&str, &str)]| {
            let found = |name: &str| {
                pairs
                    .iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| (*value).to_owned())
            };
            endpoint_of(found)
        };
        assert_eq!(of(&[]).unwrap(), None);
        let both = [
            ("AWS_ENDPOINT_URL", "http://a:1"),
            ("AWS_ENDPOINT_URL_S3", "http://b:1\n"),
        ];
        assert_eq!(of(&both).unwrap().as_deref(), Some("http://b:1"));
        for bad in ["minio:9000", "http://user:word@store", "not a url"] {
            let refused = of(&[("AWS_ENDPOINT_URL", bad)]).unwrap_err();
            assert!(refused.cause.contains("AWS_ENDPOINT_URL is no http"), "{refused:?}");
            assert!(!refused.cause.contains("word"), "{refused:?}");
        }
    }

    #[test]
    fn names_of_buckets_have_limits() {
        for (name, is_one) in [
            ("bck".to_owned(), true),
            ("bc".to_owned(), false),
            ("b".repeat(63), true),
            ("b".repeat(64), false),
            ("Bucket".to_owned(), false),
            ("b_cket".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(name.parse::<Bucket>().is_ok(), is_one, "{name}");
        }
    }
}
