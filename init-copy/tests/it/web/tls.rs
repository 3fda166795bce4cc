use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{fetch, init_copy};
use crate::{Volume, assert_done, assert_refused, text};

/// A server with a certificate for `name` from a CA of its own.
struct Secure {
    address: SocketAddr,
    ca: String,
}

impl Secure {
    fn start(name: &str, answer: &'static str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let config = Arc::clone(&config);
                thread::spawn(move || drop(serve(stream, config, answer)));
            }
        });
        Self {
            address,
            ca: pem(ca.der()),
        }
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
    assert_refused(&fetch(&volume, &[&flag], &server.url()), 12, &["certificate", "--ca"]);
}

#[test]
fn a_certificate_of_another_host_is_refused() {
    let server = Secure::start("repository.example", CONTENT);
    let volume = Volume::new();
    let flag = format!("--ca={}", text(&server.ca_file(&volume)));
    assert_refused(&fetch(&volume, &[&flag], &server.url()), 12, &["certificate"]);
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
        &["it holds none"],
    );
    let flag = "--ca=/nonexistent/ca.pem";
    assert_refused(
        &fetch(&volume, &[flag], "https://127.0.0.1:9/app.war"),
        2,
        &["/nonexistent/ca.pem"],
    );
}
