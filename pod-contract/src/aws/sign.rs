//! AWS Signature Version 4. Source: IAM User Guide, "Create a signed AWS API request"; for S3, Amazon S3 API Reference, "Authenticating
//! Requests (AWS Signature Version 4)".

use std::time::SystemTime;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::{digest, hmac};

use super::Credentials;
use crate::units::hex;

/// All but what RFC 3986 calls unreserved.
const ALL: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const PATH: AsciiSet = ALL.remove(b'/');

/// In the place of a body's digest: TLS guards it, or nobody needs to.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// For whom a request is signed.
#[derive(Debug, Clone)]
pub struct Signing<'s> {
    /// Whose key it is.
    pub credentials: &'s Credentials,
    /// Such as `eu-north-1`.
    pub region: &'s str,
    /// Such as `s3`, which takes paths as they are; other services want them encoded once more.
    pub service: &'s str,
}

/// The headers that make a request a signed one, `authorization` among them. `headers` are those to sign beside `host`, which is that of
/// `uri`; all that begin with `x-amz-` have to be. `payload` is the SHA-256 of the body in hexadecimal digits, or [`UNSIGNED_PAYLOAD`].
pub fn sign(
    signing: &Signing<'_>,
    method: &str,
    uri: &Uri,
    headers: &[(&str, &str)],
    payload: &str,
    now: SystemTime,
) -> Vec<(&'static str, String)> {
    let time = compact(now);
    let mut added = vec![("x-amz-date", time.clone())];
    if signing.service == "s3" {
        added.push(("x-amz-content-sha256", payload.to_owned()));
    }
    if let Some(token) = &signing.credentials.session_token {
        added.push(("x-amz-security-token", token.clone()));
    }
    let host = uri.authority().map_or("", |authority| authority.as_str());
    // Clients leave out the default port, and then it must not be signed.
    let default = match uri.scheme_str() {
        Some("http") => ":80",
        _ => ":443",
    };
    let host = host.strip_suffix(default).unwrap_or(host);
    let mut all: Vec<(String, String)> = std::iter::once(("host", host))
        .chain(headers.iter().copied())
        .chain(added.iter().map(|(name, value)| (*name, value.as_str())))
        .map(|(name, value)| (name.to_ascii_lowercase(), collapsed(value)))
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    // A header that comes twice is one with both values (RFC 9110, section 5.2).
    all.dedup_by(|(name, value), (kept, first)| {
        let is_same = name == kept;
        if is_same {
            *first += &format!(",{value}");
        }
        is_same
    });
    let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
    let mut request = format!("{method}\n{}\n{}\n", path(uri, signing.service), query(uri));
    for (name, value) in &all {
        request += &format!("{name}:{value}\n");
    }
    request += &format!("\n{names}\n{payload}");

    let scope = format!("{}/{}/{}/aws4_request", &time[..8], signing.region, signing.service);
    let request = digest::digest(&digest::SHA256, request.as_bytes());
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(request.as_ref()));
    let secret = format!("AWS4{}", signing.credentials.secret_key);
    let key = scope.split('/').fold(secret.into_bytes(), |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &to_sign));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
        signing.credentials.access_key
    );
    added.push(("authorization", authorization));
    added
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// `20130524T000000Z`.
fn compact(now: SystemTime) -> String {
    let text = humantime::format_rfc3339_seconds(now).to_string();
    text.replace(['-', ':'], "")
}

/// Spaces at the ends go, and several in a row are one.
fn collapsed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn path(uri: &Uri, service: &str) -> String {
    let path = uri.path();
    if path.is_empty() {
        return "/".into();
    }
    if service == "s3" {
        // Encoded for the request in whatever way; here there is one.
        return encoded(&decoded(path), true);
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    let slash = if path.ends_with('/') && !names.is_empty() {
        "/"
    } else {
        ""
    };
    encoded(format!("/{}{slash}", names.join("/")).as_bytes(), true)
}

fn query(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return String::new() };
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(&decoded(name), false), encoded(&decoded(value), false))
        })
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// A path as it is signed, and so as it is best sent.
pub(super) fn encoded_path(path: &str) -> String {
    encoded(path.as_bytes(), true)
}

pub(super) fn encoded(bytes: &[u8], keep_slashes: bool) -> String {
    let set = if keep_slashes { &PATH } else { &ALL };
    percent_encode(bytes, set).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Of no bytes.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn signature(service: &str, secret: &str, uri: &str, headers: &[(&str, &str)], at: u64) -> String {
        let access = if service == "s3" {
            "AKIAIOSFODNN7EXAMPLE"
        } else {
            "AKIDEXAMPLE"
        };
        let credentials = Credentials::fixed(access, secret, None);
        let signing = Signing {
            credentials: &credentials,
            region: "us-east-1",
            service,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(at);
        let added = sign(&signing, "GET", &uri.parse().unwrap(), headers, EMPTY, now);
        added.last().unwrap().1.rsplit_once('=').unwrap().1.to_owned()
    }

    /// The examples of the S3 API Reference, "Signature Calculations for the Authorization Header".
    #[test]
    fn as_the_reference_of_s3_has_it() {
        let of = |uri: &str, headers: &[(&str, &str)]| {
            let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
            let uri = format!("https://examplebucket.s3.amazonaws.com{uri}");
            signature("s3", secret, &uri, headers, 1_369_353_600)
        };
        for (uri, headers, wanted) in [
            (
                "/test.txt",
                &[("Range", "bytes=0-9")][..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "/?lifecycle",
                &[],
                "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
            ),
            (
                "/?max-keys=2&prefix=J",
                &[],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            assert_eq!(of(uri, headers), wanted, "{uri}");
        }
        assert_eq!(of("/?prefix=J&max-keys=2", &[]), of("/?max-keys=2&prefix=J", &[]));
        assert_eq!(of("/a%20b%2bc", &[]), of("/a%20b+c", &[]), "one spelling for all");
    }

    /// Cases of the test suite that AWS published for the algorithm.
    #[test]
    fn as_the_test_suite_has_it() {
        let of = |uri: &str, headers: &[(&str, &str)]| {
            let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
            let uri = format!("https://example.amazonaws.com{uri}");
            signature("service", secret, &uri, headers, 1_440_938_160)
        };
        for (uri, wanted) in [
            ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            (
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            assert_eq!(of(uri, &[]), wanted, "{uri}");
        }
        for same in ["/./", "//", "/a/.."] {
            assert_eq!(of(same, &[]), of("/", &[]), "{same}");
        }
        assert_eq!(of("/", &[("X", " a  b ")]), of("/", &[("x", "a b")]));
        assert_eq!(of("/", &[("X", "b"), ("x", "a")]), of("/", &[("x", "b,a")]));
    }

    #[test]
    fn a_session_has_its_token_signed() {
        let credentials = Credentials::fixed("a", "s", Some("token"));
        let signing = Signing {
            credentials: &credentials,
            region: "r",
            service: "s3",
        };
        let uri = "https://b.example/".parse().unwrap();
        let added = sign(&signing, "GET", &uri, &[], UNSIGNED_PAYLOAD, SystemTime::UNIX_EPOCH);
        assert!(added.contains(&("x-amz-security-token", "token".to_owned())));
        let signed = "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(added.last().unwrap().1.contains(signed));
    }

    #[test]
    fn a_default_port_is_not_signed_since_it_is_not_sent() {
        let credentials = Credentials::fixed("a", "s", None);
        let signing = Signing {
            credentials: &credentials,
            region: "r",
            service: "s3",
        };
        let signed = |uri: &str| {
            let uri = uri.parse().unwrap();
            sign(&signing, "GET", &uri, &[], UNSIGNED_PAYLOAD, SystemTime::UNIX_EPOCH)
        };
        assert_eq!(signed("http://b.example:80/"), signed("http://b.example/"));
        assert_eq!(signed("https://b.example:443/"), signed("https://b.example/"));
        assert_ne!(signed("http://b.example:443/"), signed("http://b.example/"));
        assert_ne!(signed("https://b.example:80/"), signed("https://b.example/"));
    }
}
