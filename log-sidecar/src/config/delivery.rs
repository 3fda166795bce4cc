//! How records go out: to whom, as whom, and what becomes of those that are refused.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pod_contract::aws::{Buckets, Place};
use pod_contract::config::{Secret, Settings};
use pod_contract::net::login::Login;
use pod_contract::start::exit::Failure;
use pod_contract::tls::{Renewing, Tls, Trust};
use pod_contract::units::Bytes;

use super::effect::refuse_without_effect;
use super::{MIB, shaping};
use crate::deliver::AllRefused;
use crate::parse::Shape;
use crate::sink::{Compress, Network, Target};

/// For the network side.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) network: Network,
    pub(crate) is_insecure: bool,
    pub(crate) shape: Shape,
    pub(crate) retry_max: Duration,
    pub(crate) dead_letter_max: u64,
    pub(crate) all_refused: AllRefused,
}

impl Delivery {
    pub(super) fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let target = s.required::<Target>("to");
        let login = Login::prove(s, &[("api-key", "ApiKey"), ("bearer", "Bearer")]);
        let shared_key = s.optional::<Secret>("shared-key");
        let tls = Tls::prove(s);
        let place = Place::prove(s);
        let timeout = s.or("request-timeout", Duration::from_secs(30));
        let compress = s.or("compress", Compress::None);
        let (given, labels) = (s.map::<String>("header"), s.map::<String>("label"));
        let shape = shaping::prove(s);
        let retry_max = s.or("retry-max", Duration::from_secs(30));
        let dead_letter_max = s.or("dead-letter-max", Bytes(16 * MIB));
        let hold = s.list::<String>("hold");
        let all_refused = s.or("all-refused", AllRefused::Hold);
        let (timeout, retry_max, target) = (timeout?, retry_max?, target?);
        if timeout.is_zero() || retry_max.is_zero() {
            return s.refuse_together(
                &["request-timeout", "retry-max"],
                "request-timeout and retry-max must not be 0s",
            );
        }
        refuse_without_effect(s, &target);
        let is_bucket = matches!(target, Target::S3(_));
        let (headers, labels) = (header_map(s, given?, is_bucket)?, labels?);
        refuse_bad_labels(s, &labels)?;
        let (login, tls, shared_key) = (login?, tls?, shared_key?);
        if matches!(target, Target::Forward(_)) && login.is_some() && shared_key.is_none() {
            return s.refuse_together(
                &["username", "password"],
                "a forward server that knows users has a shared key too: give --shared-key",
            );
        }
        let place = place?;
        let buckets = is_bucket.then(|| Buckets::new(place));
        let buckets = match buckets.transpose() {
            Ok(buckets) => buckets.unwrap_or_default(),
            Err(Failure { cause, remedy, .. }) => return s.refuse(format!("{cause}; {remedy}")),
        };
        // Keys may be asked for in TLS, wherever the bucket is.
        let is_encrypted = is_bucket || target.server().is_some_and(|server| server.is_encrypted);
        let protocols: &[&str] = if matches!(target, Target::Syslog(_) | Target::Forward(_)) {
            &[]
        } else {
            &["http/1.1"]
        };
        let certificates = match is_encrypted.then(|| Renewing::new(tls.clone(), protocols)) {
            Some(Err(failure)) => return s.refuse(failure.to_string()),
            Some(Ok(renewing)) => Some(Arc::new(renewing)),
            None => None,
        };
        Some(Self {
            target,
            network: Network {
                login,
                shared_key,
                buckets,
                tls: certificates,
                timeout,
                compress: compress?,
                headers,
                labels,
                hold: hold?,
            },
            is_insecure: is_encrypted && tls.trust == Trust::Anybody,
            shape: shape?,
            retry_max,
            dead_letter_max: dead_letter_max?.0,
            all_refused: all_refused?,
        })
    }
}

/// They say how a request is framed, to whom it goes, or who asks.
const OUR_HEADERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The same of an object, by how they begin: whether it is put, what is in it, and who puts it.
const OF_OBJECTS: [&str; 6] = [
    "if-",
    "content-md5",
    "x-amz-checksum",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
];

/// As Loki has them: <https://grafana.com/docs/loki/latest/get-started/labels/#label-format>.
fn refuse_bad_labels(s: &mut Settings<'_>, labels: &[(String, String)]) -> Option<()> {
    let is_name = |name: &str| {
        let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        rest && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    for (name, value) in labels {
        if !is_name(name) || name == "filename" || value.is_empty() {
            let why = format!(
                "{name:?} is no label of yours: letters, digits and _, not a digit first, not filename, and with a value"
            );
            return s.refuse_together(&["label"], why);
        }
    }
    Some(())
}

/// Of every request, by name.
fn header_map(s: &mut Settings<'_>, given: Vec<(String, String)>, is_bucket: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        let (Ok(key), Ok(value)) = parsed else {
            return s.refuse_together(&["header"], format!("{name:?} and its value are no header"));
        };
        if is_bucket && value.to_str().is_err() {
            return s.refuse_together(
                &["header"],
                format!("the value of {name} is not ASCII, so it cannot be signed"),
            );
        }
        let says_of_objects = |prefix: &&str| key.as_str().starts_with(*prefix);
        if OUR_HEADERS.contains(&key.as_str()) || (is_bucket && OF_OBJECTS.iter().any(says_of_objects)) {
            return s.refuse_together(
                &["header"],
                format!(
                    "{name} is what log-sidecar says itself; for a login there are --username, --api-key and --bearer"
                ),
            );
        }
        headers.append(key, value);
    }
    Some(headers)
}
