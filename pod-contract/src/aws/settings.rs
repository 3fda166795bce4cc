//! `--s3-endpoint` and `--s3-region`.

use crate::config::{Flag, Setting, Settings, setting};
use crate::units::Url;

/// Where buckets are, as far as that was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
}

/// The names of the settings.
pub const SETTINGS: [&str; 2] = ["s3-endpoint", "s3-region"];

/// The flags of the settings.
pub fn flags() -> [Flag; 2] {
    let [endpoint, region] = SETTINGS;
    [
        setting::<Endpoint>(
            endpoint,
            "URL",
            "Where s3:// buckets are, by path [default: $AWS_ENDPOINT_URL_S3, $AWS_ENDPOINT_URL, AWS]",
        ),
        setting::<String>(
            region,
            "NAME",
            "Their region [default: $AWS_REGION, $AWS_DEFAULT_REGION, us-east-1]",
        ),
    ]
}

impl Place {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        let [endpoint, region] = SETTINGS;
        let (endpoint, region) = (
            settings.optional::<Endpoint>(endpoint),
            settings.optional::<String>(region),
        );
        Some(Self {
            endpoint: endpoint?.map(|Endpoint(url)| url),
            region: region?,
        })
    }
}

#[derive(Debug)]
pub(super) struct Endpoint(pub(super) String);

impl Setting for Endpoint {
    const FORM: &'static str = "http(s)://HOST:PORT";

    fn parse(text: &str) -> Result<Self, String> {
        let url = Url::with_scheme(text, &["http", "https"])?;
        if url.path.contains('?') {
            return Err("it has a query".into());
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_whom_to_ask_and_no_question() {
        for (text, is_one) in [
            ("http://127.0.0.1:9000", true),
            ("https://store.example/below", true),
            ("https://store.example/?x", false),
            ("https://user:word@store.example", false),
            ("store.example:9000", false),
            ("ftp://store.example", false),
        ] {
            assert_eq!(Endpoint::parse(text).is_ok(), is_one, "{text}");
        }
    }
}
