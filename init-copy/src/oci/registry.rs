//! Requests to one registry, with the authorization that it asks for.

use std::cell::RefCell;
use std::io::Read as _;

use pod_contract::start::exit::Failure;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::challenge::{self, Challenge};
use super::docker_config::{DockerConfig, Login};
use super::manifest::ACCEPT;
use super::reference::{Reference, is_digest};
use crate::error::{AUTH, DIGEST, Error, NETWORK};
use crate::fetch::{Answer, Authorization, Client, Problem, Request, WebUrl, basic};
use pod_contract::units::hex;

/// A manifest or a token with more is none (OCI Distribution Specification: registries accept at least 4 MiB).
const MAX_DOCUMENT: u64 = 4 << 20;

/// One repository in its registry.
pub(super) struct Registry<'c> {
    client: &'c Client,
    reference: &'c Reference,
    config: &'c DockerConfig,
    plain_http: bool,
    tries: u32,
    authorization: RefCell<Option<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'c> Registry<'c> {
    pub(super) fn new(
        client: &'c Client,
        reference: &'c Reference,
        config: &'c DockerConfig,
        plain_http: bool,
        tries: u32,
    ) -> Self {
        Self {
            client,
            reference,
            config,
            plain_http,
            tries,
            authorization: RefCell::new(None),
        }
    }

    /// The address of a manifest or blob in the repository.
    pub(super) fn url(&self, kind: &str, name: &str) -> Result<WebUrl, Failure> {
        let scheme = if self.plain_http { "http" } else { "https" };
        let text = format!(
            "{scheme}://{}/v2/{}/{kind}/{name}",
            self.reference.host(),
            self.reference.repository
        );
        text.parse()
            .map_err(|why| Failure::new(NETWORK, format!("{text}: {why}")))
    }

    /// What the last challenge was answered with.
    pub(super) fn authorization(&self) -> Option<String> {
        self.authorization.borrow().clone()
    }

    /// Gets a new authorization, by answering the challenge of `url`.
    pub(super) fn renew(&self, url: &WebUrl) -> Result<(), Failure> {
        *self.authorization.borrow_mut() = None;
        let answer = self.ask(url, "*/*").map_err(Problem::into_failure)?;
        if answer.status() == 401 && answer.url.same_origin(url) {
            self.answer_challenge(&answer).map_err(Problem::into_failure)?;
        }
        Ok(())
    }

    /// The manifest or blob `name`, and its digest, which is computed: a header may be missing, or lie.
    pub(super) fn get(&self, kind: &str, name: &str) -> Result<(String, Vec<u8>), Error> {
        let url = self.url(kind, name)?;
        let (bytes, told) = self.client.persist(self.tries, "the registry", || {
            let answer = self.answer(&url, accept(kind))?;
            if answer.status() != 200 {
                return Err(Client::refuse(&answer));
            }
            let digest = answer.header("docker-content-digest").map(str::to_owned);
            Ok((self.read(answer)?, digest))
        })?;
        let digest = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        let wanted = if is_digest(name) {
            Some(name)
        } else {
            told.as_deref().filter(|told| is_digest(told))
        };
        match wanted.filter(|wanted| *wanted != digest) {
            None => Ok((digest, bytes)),
            Some(wanted) => Err(Error::new(
                DIGEST,
                format!("{url} is not what was asked for: its digest is {digest}, expected {wanted}"),
                "the registry or something before it changes what it has; nothing was published",
            )),
        }
    }

    /// The document `name`, if there is one.
    pub(super) fn find(&self, kind: &str, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let url = self.url(kind, name)?;
        self.client.persist(self.tries, "the registry", || {
            let answer = self.answer(&url, accept(kind))?;
            match answer.status() {
                200 => self.read(answer).map(Some),
                // Some say so of what they do not know at all, such as the list of referrers.
                400 | 404 | 405 | 406 => Ok(None),
                _ => Err(Client::refuse(&answer)),
            }
        })
    }

    fn answer(&self, url: &WebUrl, accept: &str) -> Result<Answer, Problem> {
        let mut answer = self.ask(url, accept)?;
        // A challenge is answered only if it comes from the registry: what a redirect leads to gets no credentials of it.
        if answer.status() == 401 && answer.url.same_origin(url) {
            self.answer_challenge(&answer)?;
            answer = self.ask(url, accept)?;
        }
        Ok(answer)
    }

    fn ask(&self, url: &WebUrl, accept: &str) -> Result<Answer, Problem> {
        let authorization = self.authorization();
        self.client.get(&Request {
            url,
            headers: &[("accept", accept.to_owned())],
            authorization: authorization.as_deref().map(Authorization::Header),
        })
    }

    fn read(&self, answer: Answer) -> Result<Vec<u8>, Problem> {
        let url = answer.url.clone();
        let mut bytes = Vec::new();
        let body = answer.response.into_body().into_with_config().limit(u64::MAX).reader();
        body.take(MAX_DOCUMENT + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.client.sort(&url, ureq::Error::from(e)))?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(Problem::Final(Failure::new(
                NETWORK,
                format!("{url} has more than {MAX_DOCUMENT} bytes"),
            )));
        }
        Ok(bytes)
    }

    fn answer_challenge(&self, answer: &Answer) -> Result<(), Problem> {
        let headers: Vec<_> = answer
            .response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let login = match self.client.credentials().basic().map_err(Problem::Final)? {
            Some((user, password)) => Some(Login::Password(user, password)),
            None => match (self.config.login(self.reference), challenge::parse(&headers)) {
                (Ok(login), _) => login,
                // Much is public, and then anybody gets a token.
                (Err(failure), Some(Challenge::Bearer { .. })) => {
                    tracing::warn!(error = failure.cause, "asking without credentials");
                    None
                }
                (Err(failure), _) => return Err(Problem::Final(failure)),
            },
        };
        let authorization = match (challenge::parse(&headers), login) {
            (Some(Challenge::Basic), Some(Login::Password(user, password))) => basic(&user, &password),
            (Some(Challenge::Basic), _) => return Err(Problem::Final(self.no_credentials())),
            (Some(Challenge::Bearer { realm, service, scope }), login) => {
                self.token(&realm, service.as_deref(), scope.as_deref(), login)?
            }
            (None, _) => {
                let cause = format!(
                    "{} wants a kind of authentication that is not known: {headers:?}",
                    self.reference.registry
                );
                return Err(Problem::Final(Failure::new(AUTH, cause)));
            }
        };
        *self.authorization.borrow_mut() = Some(authorization);
        Ok(())
    }

    fn no_credentials(&self) -> Failure {
        Failure::new(AUTH, format!("{} wants a user and a password", self.reference.registry))
            .remedy("mount a secret of type kubernetes.io/dockerconfigjson and name it with --registry-config")
    }

    /// Asks the token server that the registry named.
    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: Option<&str>,
        login: Option<Login>,
    ) -> Result<String, Problem> {
        let own_scope = format!("repository:{}:pull", self.reference.repository);
        let mut query = vec![("scope", scope.unwrap_or(&own_scope).to_owned())];
        query.extend(service.map(|service| ("service", service.to_owned())));
        if matches!(login, Some(Login::IdentityToken(_))) {
            let cause = format!(
                "{} wants an identity token exchanged (OAuth2), which is not built",
                self.reference.registry
            );
            return Err(Problem::Final(
                Failure::new(AUTH, cause).remedy("use a user with a password or an access token"),
            ));
        }
        let encode =
            |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encode(value)))
            .collect();
        let joint = if realm.contains('?') { '&' } else { '?' };
        let refused = |why| {
            Problem::Final(Failure::new(
                AUTH,
                format!("the token server {realm:?} is refused: {why}"),
            ))
        };
        let url: WebUrl = format!("{realm}{joint}{}", query.join("&")).parse().map_err(refused)?;
        if !self.plain_http && !url.is_https() {
            return Err(refused("credentials are not sent without encryption".to_owned()));
        }
        let authorization = match &login {
            Some(Login::Password(user, password)) => Some(basic(user, password)),
            _ => None,
        };
        let answer = self.client.get(&Request {
            url: &url,
            headers: &[],
            authorization: authorization.as_deref().map(Authorization::Header),
        })?;
        if answer.status() != 200 {
            return Err(Client::refuse(&answer));
        }
        let bytes = self.read(answer)?;
        let token: Token = serde_json::from_slice(&bytes)
            .map_err(|e| Problem::Final(Failure::new(AUTH, format!("{url} answers no token: {e}"))))?;
        let given = |text: &String| !text.is_empty();
        match token.token.filter(given).or(token.access_token.filter(given)) {
            Some(token) => Ok(format!("Bearer {token}")),
            None => Err(Problem::Final(Failure::new(AUTH, format!("{url} answers no token")))),
        }
    }
}

/// Of the documents that it has, what we understand; a blob may be anything.
fn accept(kind: &str) -> &'static str {
    if kind == "blobs" { "*/*" } else { ACCEPT }
}
