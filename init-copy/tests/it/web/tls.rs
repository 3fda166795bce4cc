use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{fetch, init_copy};
use crate::{Volume, assert_done, assert_refused, text};

/// A server with a certificate for `name` from a CA of its own.
struct Secure {
    address: SocketAddr,
    ca: String,
}

fn ca() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_for(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}

impl Secure {
    fn start(name: &str, answer: &'static str) -> Self {
        Self::with(&server_for(name), &ca(), answer)
    }

    /// A certificate of these parameters, signed by `ca`.
    fn with(params: &CertificateParams, ca: &CertifiedIssuer<'static, KeyPair>, answer: &'static str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, ca).unwrap();
        Self::serving(
            config(false, None, certificate.der().clone(), &key),
            pem(ca.der()),
            answer,
        )
    }

    fn serving(config: ServerConfig, ca: String, answer: &'static str) -> Self {
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                thread::spawn(move || drop(serve(stream, config, answer)));
            }
        });
        Self { address, ca }
    }

    fn url(&self) -> String {
        format!("https://{}/app.war", self.address)
    }

    /// The CA's certificate as a file beside the volume.
    fn ca_file(&self, volume: &Volume) -> PathBuf {
        let path = volume.dir.path().join("ca.pem");
        fs::write(&path, &self.ca).unwrap();
        path
    }
}

/// Asks clients for a certificate of `clients`, if there is one; speaks TLS 1.2 only when it is `old`.
fn config(
    old: bool,
    clients: Option<&CertifiedIssuer<'static, KeyPair>>,
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = if old {
        &[&rustls::version::TLS12]
    } else {
        rustls::DEFAULT_VERSIONS
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    builder.with_single_cert(vec![certificate], key).unwrap()
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, answer: &str) -> io::Result<()> {
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut line = String::new();
    while !line.ends_with("\r\n\r\n") && reader.read_line(&mut line)? > 0 {}
    let mut stream = reader.into_inner();
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

const CONTENT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncontent";

#[test]
fn an_own_ca_is_trusted_when_it_is_named() {
    let server = Secure::start("127.0.0.1", CONTENT);
    let volume = Volume::new();
    let ca = text(&server.ca_file(&volume));
    assert_done(&fetch(&volume, &[&format!("--ca={ca}")], &server.url()));
    assert_eq!(fs::read_to_string(volume.dest("app.war")).unwrap(), "content");

    let volume = Volume::new();
    let mut command = init_copy(&[&server.url(), &text(&volume.dest(""))]);
    assert_done(&command.env("SSL_CERT_FILE", ca).output().unwrap());
    assert_eq!(volume.names(), ["app.war"]);
}

#[test]
fn an_unknown_ca_is_refused_at_once() {
    let server = Secure::start("127.0.0.1", CONTENT);
    let volume = Volume::new();
    assert_refused(&fetch(&volume, &[], &server.url()), 12, &["certificate", "--ca"]);
    assert!(!volume.dest("app.war").exists());
    // Of another CA with the same name.
    let other = Secure::start("127.0.0.1", CONTENT);
    let flag = format!("--ca={}", text(&other.ca_file(&volume)));
    assert_refused(
        &fetch(&volume, &[&flag], &server.url()),
        12,
        &["signature that does not hold", "the very CA"],
    );
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let server = Secure::start("repository.example", CONTENT);
    let volume = Volume::new();
    let flag = format!("--ca={}", text(&server.ca_file(&volume)));
    assert_refused(
        &fetch(&volume, &[&flag], &server.url()),
        12,
        &["for another name", "repository.example"],
    );
    assert!(!volume.dest("app.war").exists());
}

#[test]
fn a_redirect_does_not_leave_tls() {
    let answer = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/app.war\r\nContent-Length: 0\r\n\r\n";
    let server = Secure::start("127.0.0.1", answer);
    let volume = Volume::new();
    let flag = format!("--ca={}", text(&server.ca_file(&volume)));
    assert_refused(&fetch(&volume, &[&flag], &server.url()), 12, &["is not encrypted"]);
}

#[test]
fn a_file_without_certificates_is_a_mistake() {
    let volume = Volume::new();
    let file = volume.dir.path().join("ca.pem");
    fs::write(&file, "no certificate").unwrap();
    let flag = format!("--ca={}", text(&file));
    assert_refused(
        &fetch(&volume, &[&flag], "https://127.0.0.1:9/app.war"),
        2,
        &["it holds no certificate"],
    );
    let flag = "--ca=/nonexistent/ca.pem";
    assert_refused(
        &fetch(&volume, &[flag], "https://127.0.0.1:9/app.war"),
        2,
        &["/nonexistent/ca.pem"],
    );
}

/// Self-signed, marked as a CA, and shown by the server itself: what many small servers have.
fn its_own_ca(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Secure {
    let mut params = server_for(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = config(false, None, certificate.der().clone(), &key);
    Secure::serving(config, pem(certificate.der()), CONTENT)
}

#[test]
fn a_server_that_shows_the_given_ca_itself_is_believed_for_its_name_and_its_time() {
    let volume = Volume::new();
    let fetched = |server: &Secure| {
        fetch(
            &volume,
            &[&format!("--ca={}", text(&server.ca_file(&volume)))],
            &server.url(),
        )
    };
    assert_done(&fetched(&its_own_ca("127.0.0.1", |_| {})));
    assert_refused(
        &fetched(&its_own_ca("repository.example", |_| {})),
        12,
        &["for another name"],
    );
    let expired = its_own_ca("127.0.0.1", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1)
    });
    assert_refused(&fetched(&expired), 12, &["has expired", "renew"]);
    let early = its_own_ca("127.0.0.1", |params| {
        params.not_before = rcgen::date_time_ymd(2051, 1, 1)
    });
    assert_refused(&fetched(&early), 12, &["not valid yet", "clock"]);
    // The same name and CA are not the same certificate.
    let (server, other) = (its_own_ca("127.0.0.1", |_| {}), its_own_ca("127.0.0.1", |_| {}));
    let flag = format!("--ca={}", text(&other.ca_file(&volume)));
    assert_refused(&fetch(&volume, &[&flag], &server.url()), 12, &["certificate"]);
}

#[test]
fn a_given_certificate_that_is_no_ca_vouches_for_itself_alone() {
    let (volume, signer, authority) = (Volume::new(), KeyPair::generate().unwrap(), ca());
    let mut params = server_for("127.0.0.1");
    params.distinguished_name.push(rcgen::DnType::CommonName, "leaf");
    let leaf = params.signed_by(&signer, &authority).unwrap();
    let given = volume.dir.path().join("leaf.pem");
    fs::write(&given, pem(leaf.der())).unwrap();
    let flag = format!("--ca={}", text(&given));
    let itself = Secure::serving(config(false, None, leaf.der().clone(), &signer), String::new(), CONTENT);
    assert_done(&fetch(&volume, &[&flag], &itself.url()));

    let (key, issuer) = (
        KeyPair::generate().unwrap(),
        rcgen::Issuer::from_params(&params, &signer),
    );
    let forged = server_for("127.0.0.1").signed_by(&key, &issuer).unwrap();
    let other = Secure::serving(config(false, None, forged.der().clone(), &key), String::new(), CONTENT);
    assert_refused(&fetch(&volume, &[&flag], &other.url()), 12, &["does not lead to a CA"]);
}

#[test]
fn each_cause_has_its_name_and_its_remedy() {
    let volume = Volume::new();
    let authority = ca();
    let fetched = |server: &Secure| {
        fetch(
            &volume,
            &[&format!("--ca={}", text(&server.ca_file(&volume)))],
            &server.url(),
        )
    };
    let mut params = server_for("127.0.0.1");
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    assert_refused(
        &fetched(&Secure::with(&params, &authority, CONTENT)),
        12,
        &["has expired", "renew"],
    );
    // Signed by an intermediate CA that the server does not send.
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "intermediate");
    let intermediate = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &authority).unwrap();
    let mut missing = Secure::with(&server_for("127.0.0.1"), &intermediate, CONTENT);
    missing.ca = pem(authority.der());
    assert_refused(
        &fetched(&missing),
        12,
        &["does not lead to a CA", "intermediate certificates"],
    );
    // A plain port, and one that hangs up.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    thread::spawn(move || {
        plain
            .incoming()
            .flatten()
            .for_each(|mut stream| drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    });
    assert_refused(
        &fetch(&volume, &["--tries=1"], &format!("https://{address}/x")),
        12,
        &["does not speak TLS", "plain http:// port"],
    );
}

#[test]
fn a_server_that_asks_for_a_certificate_gets_it() {
    let (volume, authority, clients) = (Volume::new(), ca(), ca());
    let file = |name: &str, content: &str| {
        let path = volume.dir.path().join(name);
        fs::write(&path, content).unwrap();
        text(&path)
    };
    let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = server_for("127.0.0.1").signed_by(&key, &authority).unwrap();
    let shown = CertificateParams::default().signed_by(&own, &clients).unwrap();
    let flags = [
        format!("--ca={}", file("ca.pem", &pem(authority.der()))),
        format!("--client-certificate={}", file("client.pem", &pem(shown.der()))),
        format!("--client-key={}", file("client.key", &own.serialize_pem())),
    ];
    let [ca, cert, client_key] = flags.each_ref().map(String::as_str);
    for old in [false, true] {
        let config = config(old, Some(&clients), certificate.der().clone(), &key);
        let server = Secure::serving(config, String::new(), CONTENT);
        assert_refused(
            &fetch(&volume, &[ca, "--tries=1"], &server.url()),
            12,
            &["wants a client certificate"],
        );
        assert_done(&fetch(&volume, &[ca, cert, client_key, "--receipt=off"], &server.url()));
    }
    let url = "https://127.0.0.1:9/x";
    let other = format!("--client-key={}", file("other.key", &key.serialize_pem()));
    assert_refused(
        &fetch(&volume, &[cert, &other], url),
        2,
        &["is not of the key", "one pair"],
    );
    assert_refused(&fetch(&volume, &[cert], url), 2, &["are given together"]);
    let swapped = format!("--client-key={}", file("swapped", &pem(shown.der())));
    assert_refused(&fetch(&volume, &[cert, &swapped], url), 2, &["holds no private key"]);
}

#[test]
fn mistakes_in_pem_are_told_with_their_line() {
    let volume = Volume::new();
    let good = pem(ca().der());
    for (content, place) in [
        (
            format!("{good}# a comment\n-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"),
            good.lines().count() + 2,
        ),
        ("\n\n-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), 3),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            1,
        ),
    ] {
        let file = volume.dir.path().join("ca.pem");
        fs::write(&file, content).unwrap();
        let told = format!("{}:{place}: ", text(&file));
        assert_refused(
            &fetch(&volume, &[&format!("--ca={}", text(&file))], "https://127.0.0.1:9/x"),
            2,
            &[&told],
        );
    }
}

#[test]
fn without_verification_it_is_told_loudly() {
    let server = Secure::start("repository.example", CONTENT);
    let volume = Volume::new();
    let output = fetch(&volume, &["--tls-insecure"], &server.url());
    assert_done(&output);
    assert!(String::from_utf8_lossy(&output.stderr).contains("any server is believed"));
    assert_refused(
        &fetch(&volume, &["--tls-insecure", "--ca=/x"], &server.url()),
        2,
        &["no CA is asked for"],
    );
}
