//! Keys: given, of a role that a token of the pod stands for, or of the container. What has to be asked for is described here and asked
//! by the binary with its own client. Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers".

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use http::Uri;

use crate::config::read_secret_file;
use crate::start::exit::{Failure, USAGE};

/// Keys that are about to expire are asked for anew.
const EARLY: Duration = Duration::from_secs(300);

/// An access key, its secret, and what goes with them when they are for a while only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) access_key: String,
    pub(super) secret_key: String,
    pub(super) session_token: Option<String>,
    /// `None`: they do not expire.
    pub(super) expires: Option<SystemTime>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Ones that do not expire.
    pub fn fixed(access_key: &str, secret_key: &str, session_token: Option<&str>) -> Self {
        Self {
            access_key: access_key.into(),
            secret_key: secret_key.into(),
            session_token: session_token.map(str::to_owned),
            expires: None,
        }
    }

    /// Can they still be used for a while?
    pub fn are_fresh(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now + EARLY < expires)
    }
}

/// Where the environment says that keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, perhaps `AWS_SESSION_TOKEN`.
    Given(Credentials),
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, perhaps `AWS_ROLE_SESSION_NAME`: a role for a service account of Kubernetes.
    WebIdentity {
        /// Of the security token service.
        endpoint: String,
        /// Its ARN.
        role: String,
        /// A name for the log of who used it.
        session: String,
        /// The file in which the kubelet renews the token.
        token: PathBuf,
    },
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI`, or `_RELATIVE_URI`: an agent of the node.
    Container {
        /// Of the agent.
        url: String,
        /// `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`, or the token itself.
        authorization: Option<Token>,
    },
    /// None at all: requests are not signed, which public objects allow.
    Anonymous,
}

/// A token, or the file that it is in.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    /// In a variable.
    Text(String),
    /// In a file, which is read anew each time.
    File(PathBuf),
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl Token {
    fn read(&self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => Ok(read_secret_file(path)?.trim().to_owned()),
        }
    }
}

/// A request for keys.
pub struct Asked {
    /// To be asked for by `GET`; its query may hold a secret.
    pub url: String,
    /// The value of that header.
    pub authorization: Option<String>,
}

impl Origin {
    /// As the variables have it, the first of those that are there. `region` is that of the service that tokens are shown to, unless
    /// a variable has another one.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>, region: &str) -> Result<Self, Failure> {
        // A Secret that was made of a file has a line end behind it.
        let variable = |name: &str| variable(name).map(|value| value.trim().to_owned());
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let own = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = own.as_deref().unwrap_or(region);
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(access), Some(secret)) => {
                let token = variable("AWS_SESSION_TOKEN");
                return Ok(Self::Given(Credentials::fixed(&access, &secret, token.as_deref())));
            }
            (None, None) => {}
            _ => {
                return Err(
                    Failure::new(USAGE, "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, one is not set")
                        .remedy("set both, from one Secret"),
                );
            }
        }
        if let (Some(token), Some(role)) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN")) {
            return Ok(Self::WebIdentity {
                endpoint: variable("AWS_ENDPOINT_URL_STS")
                    .unwrap_or_else(|| format!("https://sts.{region}.{}", domain(region))),
                role,
                session: variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "sidecar".into()),
                token: token.into(),
            });
        }
        let url = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            .map(|path| format!("http://169.254.170.2{path}"))
            .or_else(|| variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"));
        if let Some(url) = url.as_ref().filter(|url| !may_be_asked(url)) {
            return Err(Failure::new(
                USAGE,
                format!(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI is refused: {url:?} is neither https nor an agent's address"
                ),
            )
            .remedy("give https, or http at loopback, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]"));
        }
        Ok(match url {
            Some(url) => Self::Container {
                url,
                authorization: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
                    .map(|path| Token::File(path.into()))
                    .or_else(|| variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Token::Text)),
            },
            None => Self::Anonymous,
        })
    }

    /// The keys, or that there are none, where nobody has to be asked: also those `kept` of an earlier answer, while they can be used.
    pub fn at_hand(&self, kept: Option<&Credentials>, now: SystemTime) -> Option<Option<Credentials>> {
        match self {
            Self::Given(credentials) => Some(Some(credentials.clone())),
            Self::Anonymous => Some(None),
            Self::WebIdentity { .. } | Self::Container { .. } => {
                kept.filter(|keys| keys.are_fresh(now)).map(|keys| Some(keys.clone()))
            }
        }
    }

    /// What to ask for keys; `None` when nobody has to be asked. Tokens are read anew: they are rotated.
    pub fn ask(&self) -> Result<Option<Asked>, Failure> {
        match self {
            Self::Given(_) | Self::Anonymous => Ok(None),
            Self::WebIdentity {
                endpoint,
                role,
                session,
                token,
            } => {
                let token = Token::File(token.clone()).read()?;
                let endpoint = endpoint.trim_end_matches('/');
                let (role, session, token) = (escaped(role), escaped(session), escaped(&token));
                Ok(Some(Asked {
                    url: format!(
                        "{endpoint}/?Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={role}&RoleSessionName={session}&WebIdentityToken={token}"
                    ),
                    authorization: None,
                }))
            }
            Self::Container { url, authorization } => Ok(Some(Asked {
                url: url.clone(),
                authorization: authorization.as_ref().map(Token::read).transpose()?,
            })),
        }
    }

    /// The keys in the answer to [`Self::ask`]; an error never repeats it.
    pub fn take(&self, answer: &str) -> Result<Credentials, String> {
        let field = |json: &str, xml: &str| match self {
            Self::Container { .. } => serde_json::from_str::<serde_json::Value>(answer)
                .ok()
                .and_then(|answer| Some(answer.get(json)?.as_str()?.to_owned())),
            _ => element(answer, xml).map(str::to_owned),
        };
        let needed = |json: &str, xml: &str| field(json, xml).ok_or_else(|| format!("it has no {xml}"));
        let expires = needed("Expiration", "Expiration")?;
        Ok(Credentials {
            access_key: needed("AccessKeyId", "AccessKeyId")?,
            secret_key: needed("SecretAccessKey", "SecretAccessKey")?,
            session_token: Some(needed("Token", "SessionToken")?),
            expires: Some(humantime::parse_rfc3339(&expires).map_err(|_| "its Expiration is no time")?),
        })
    }
}

/// The text of the first element of that name; keys, tokens and codes have nothing that XML would escape.
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once("</").map(|(text, _)| text.trim())
}

/// That of the services in a region.
pub(super) fn domain(region: &str) -> &'static str {
    match region.starts_with("cn-") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    }
}

/// Keys come over plain HTTP from the machine itself only: "Container credential provider" of the same guide.
fn may_be_asked(url: &str) -> bool {
    const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    let Ok(url) = url.parse::<Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    match url.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") if host == "localhost" => true,
        Some("http") => host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback() || AGENTS.contains(&address.to_string().as_str())),
        _ => false,
    }
}

fn escaped(text: &str) -> String {
    super::sign::encoded(text.as_bytes(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(variables: &[(&str, &str)]) -> Result<Origin, Failure> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Origin::from_environment(variable, "eu-north-1")
    }

    #[test]
    fn the_first_that_is_there_counts() {
        let given = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let identity = [
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ];
        let container = [(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        )];
        let all = [&given[..], &identity, &container].concat();
        assert_eq!(origin(&all).unwrap(), Origin::Given(Credentials::fixed("a", "s", None)));
        assert!(matches!(
            origin(&all[2..]).unwrap(),
            Origin::WebIdentity { endpoint, .. } if endpoint == "https://sts.eu-north-1.amazonaws.com"
        ));
        assert!(matches!(origin(&all[4..]).unwrap(), Origin::Container { .. }));
        assert_eq!(origin(&[("AWS_ACCESS_KEY_ID", "")]).unwrap(), Origin::Anonymous);
        assert!(origin(&given[..1]).unwrap_err().cause.contains("one is not set"));
        let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
        let asked = origin(&relative).unwrap().ask().unwrap().unwrap();
        assert_eq!(asked.url, "http://169.254.170.2/v2/x");
    }

    #[test]
    fn keys_come_in_plain_text_from_the_machine_only() {
        let agent = |url: &str| origin(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        for url in [
            "https://agent.example/keys",
            "http://localhost:1338/keys",
            "http://127.0.0.9/keys",
            "http://[::1]:80/keys",
            "http://169.254.170.2/keys",
            "http://169.254.170.23/keys",
            "http://[fd00:ec2::23]/keys",
        ] {
            assert!(agent(url).is_ok(), "{url}");
        }
        for url in [
            "http://agent.example/keys",
            "http://169.254.169.254/keys",
            "http://192.0.2.1/keys",
            "http://127.0.0.1.example/keys",
            "http://[fd00:ec2::24]/keys",
            "ftp://127.0.0.1/keys",
            "/keys",
            "127.0.0.1",
        ] {
            let refused = agent(url).unwrap_err();
            assert!(refused.cause.contains(url), "{refused:?}");
        }
    }

    #[test]
    fn answers_have_keys_for_a_while() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "header.body+/=.signature\n").unwrap();
        let path = file.path().display().to_string();
        let identity = origin(&[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", &path),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ])
        .unwrap();
        let url = identity.ask().unwrap().unwrap().url;
        assert!(
            url.ends_with("&WebIdentityToken=header.body%2B%2F%3D.signature"),
            "{url}"
        );
        let xml = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>S/+</SecretAccessKey>\
                   <SessionToken>T==</SessionToken><Expiration>2026-11-25T12:00:00Z</Expiration></Credentials></R>";
        let container = origin(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path),
        ])
        .unwrap();
        let asked = container.ask().unwrap().unwrap();
        assert_eq!(asked.authorization.as_deref(), Some("header.body+/=.signature"));
        let json = r#"{"AccessKeyId":"A","SecretAccessKey":"S/+","Token":"T==","Expiration":"2026-11-25T12:00:00Z"}"#;
        for (origin, answer) in [(&identity, xml), (&container, json)] {
            let keys = origin.take(answer).unwrap();
            assert_eq!(
                (&*keys.access_key, &*keys.secret_key, keys.session_token.as_deref()),
                ("A", "S/+", Some("T=="))
            );
            let expires = keys.expires.unwrap();
            assert!(keys.are_fresh(expires - EARLY - Duration::from_secs(1)));
            assert!(!keys.are_fresh(expires - EARLY));
            let secret = origin.take(&answer.replace("SecretAccessKey", "Other")).unwrap_err();
            assert_eq!(secret, "it has no SecretAccessKey");
            assert!(origin.take("").is_err());
        }
        assert!(!format!("{:?} {:?}", identity.take(xml), container).contains("S/+"));
    }
}
