//! TLS in front of any server, with certificates made for the occasion.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// A CA, by a name of its own.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Like no other one.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("CA {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("keys can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA can sign itself"))
    }

    /// Its certificate in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name`, or an address.
    pub fn pair(&self, name: &str) -> Pair {
        let (certificate, key) = self.signed(name);
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("keys can be made");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &self.0).expect("a CA can sign"), key)
    }

    /// A server called `name`.
    pub fn server(&self, name: &str) -> ServerConfig {
        self.server_of(name, DEFAULT_VERSIONS, None)
    }

    /// The same, for clients with a certificate of `clients`.
    pub fn server_for(&self, name: &str, clients: &Self) -> ServerConfig {
        self.server_of(name, DEFAULT_VERSIONS, Some(clients))
    }

    /// The same, that speaks TLS 1.2 and no other.
    pub fn old_server(&self, name: &str) -> ServerConfig {
        self.server_of(name, &[&rustls::version::TLS12], None)
    }

    fn server_of(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<&Self>,
    ) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions that ring can do");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).expect("a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().expect("a CA"))
            }
        };
        let (certificate, key) = self.signed(name);
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let chain = vec![certificate.der().clone()];
        builder.with_single_cert(chain, key).expect("a certificate and its key")
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// What ends TLS in front of a server; a new connection meets the settings of its time.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

impl Front {
    /// In front of what listens on `server`.
    pub fn start(server: &str, config: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let front = Self {
            address: listener.local_addr()?,
            config: Arc::new(Mutex::new(Arc::new(config))),
            names: Arc::default(),
        };
        let (current, names, server) = (Arc::clone(&front.config), Arc::clone(&front.names), server.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let mut tasks = JoinSet::new();
                loop {
                    let (client, _) = listener.accept().await?;
                    let config = Arc::clone(&current.lock().unwrap_or_else(PoisonError::into_inner));
                    tasks.spawn(carry(client, server.clone(), config, Arc::clone(&names)));
                }
                #[expect(unreachable_code, reason = "says what fails")]
                io::Result::Ok(())
            })
        });
        Ok(front)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of connections from now on.
    pub fn change(&self, config: ServerConfig) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }

    /// The names that clients have asked for, one a handshake.
    pub fn names(&self) -> Vec<Option<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Content both ways. A connection that breaks is the client's business.
async fn carry(
    client: TcpStream,
    server: String,
    config: Arc<ServerConfig>,
    names: Arc<Mutex<Vec<Option<String>>>>,
) -> io::Result<()> {
    let mut client = TlsAcceptor::from(config).accept(client).await?;
    let name = client.get_ref().1.server_name().map(str::to_owned);
    names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    let mut server = TcpStream::connect(server).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
}
