//! Sinks in TLS, and logins.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use testbed::process::{Running, run};
use testbed::wait;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig};

use crate::{BIN, Pod};

static NUMBER: AtomicUsize = AtomicUsize::new(0);

pub(crate) type Ca = CertifiedIssuer<'static, KeyPair>;

/// Each by a name of its own.
pub(crate) fn ca() -> Ca {
    let mut params = CertificateParams::default();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("CA {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for `name`, and its key.
fn signed(ca: &Ca, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.signed_by(&key, ca).unwrap(), key)
}

pub(crate) fn config(ca: &Ca, name: &str, clients: Option<&Ca>) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(DEFAULT_VERSIONS)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let (certificate, key) = signed(ca, name);
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// What ends TLS in front of a store; a new connection meets the settings of its time.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    config: Arc<Mutex<Arc<ServerConfig>>>,
}

impl Front {
    pub(crate) fn start(store: &str, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (config, store) = (Arc::new(Mutex::new(config)), store.to_owned());
        let current = Arc::clone(&config);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let mut tasks = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let acceptor = TlsAcceptor::from(Arc::clone(&current.lock().unwrap()));
                    let store = store.clone();
                    tasks.spawn(async move {
                        let mut client = acceptor.accept(stream).await?;
                        let mut server = tokio::net::TcpStream::connect(store).await?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    });
                }
            });
        });
        Self { address, config }
    }

    fn to(&self) -> String {
        format!("elasticsearch+https://{}/app", self.address)
    }
}

pub(crate) fn write(pod: &Pod, name: &str, text: &str) -> PathBuf {
    let path = pod.dir.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn flag(name: &str, path: &std::path::Path) -> String {
    format!("--{name}={}", path.display())
}

#[test]
fn a_sink_in_tls_that_is_who_it_says_gets_every_line() {
    let pod = Pod::new();
    let ca = ca();
    let front = Front::start(&pod.store.address(), config(&ca, "127.0.0.1", None));
    pod.append_lines("app.log", 0..1000);
    let ca = flag("ca", &write(&pod, "ca.pem", &ca.pem()));
    let running = pod.start_to(&front.to(), &[&ca]);
    pod.wait_for(1000);
    pod.stop(running);
    pod.assert_lines(1000);
}

#[test]
fn a_sink_that_is_another_gets_nothing_and_is_waited_for_with_the_cause() {
    let pod = Pod::new();
    let (ours, other) = (ca(), ca());
    let ours_file = write(&pod, "ca.pem", &ours.pem());
    pod.append_lines("app.log", 0..10);
    let start = |front: &Front, more: &[&str]| pod.start_to(&front.to(), more);
    for (front, why) in [
        (
            config(&other, "127.0.0.1", None),
            "does not lead to a CA that is trusted",
        ),
        (config(&ours, "es.example", None), "is for another name"),
        (
            config(&ours, "127.0.0.1", Some(&other)),
            "it wants a client certificate",
        ),
    ] {
        let front = Front::start(&pod.store.address(), front);
        let running = start(&front, &[&flag("ca", &ours_file), "--grace=100ms"]);
        let told = running.wait_for_log(why);
        assert!(told.contains("remedy: "), "{told}");
        assert!(pod.store.documents("app").is_empty());
        running.kill();
        // Once there is the right one behind the address, the same process would go on.
    }
    let front = Front::start(&pod.store.address(), config(&other, "127.0.0.1", None));
    let running = start(&front, &[&flag("ca", &ours_file)]);
    running.wait_for_log("does not lead to a CA");
    *front.config.lock().unwrap() = config(&ours, "127.0.0.1", None);
    pod.wait_for(10);
    pod.stop(running);

    // Believed only when that is asked for, and told.
    let front = Front::start(&pod.store.address(), config(&other, "es.example", None));
    pod.append_lines("app.log", 10..20);
    let running = start(&front, &["--tls-insecure"]);
    running.wait_for_log("any server is believed");
    pod.wait_for(20);
    let admin = running.address("admin listening");
    let metrics = testbed::client::get(&admin, "/metrics").unwrap().text();
    assert!(metrics.contains("log_tls_unverified 1"), "{metrics}");
    pod.stop(running);
    pod.assert_lines(20);
}

#[test]
fn a_client_certificate_is_renewed_under_load_and_no_line_is_lost() {
    let pod = Pod::new();
    let (server, first, second) = (ca(), ca(), ca());
    let front = Front::start(&pod.store.address(), config(&server, "127.0.0.1", Some(&first)));
    let ca_flag = flag("ca", &write(&pod, "ca.pem", &server.pem()));
    let pair = |of: &Ca| signed(of, "client.example");
    let (certificate, key) = pair(&first);
    let certificate_file = write(&pod, "tls.crt", &certificate.pem());
    let key_file = write(&pod, "tls.key", &key.serialize_pem());
    let (certificate, key) = (
        flag("client-certificate", &certificate_file),
        flag("client-key", &key_file),
    );
    let running = pod.start_to(&front.to(), &[&ca_flag, &certificate, &key]);
    let mut lines = 0;
    let mut more = |pod: &Pod| {
        pod.append_lines("app.log", lines..lines + 100);
        lines += 100;
        lines
    };
    pod.wait_for(more(&pod));

    // The server goes over to clients of another CA, and cuts those that it has; the new pair comes half by half.
    *front.config.lock().unwrap() = config(&server, "127.0.0.1", Some(&second));
    pod.store.cut();
    let (certificate, key) = pair(&second);
    fs::write(&certificate_file, certificate.pem()).unwrap();
    let all = more(&pod);
    running.wait_for_log("the changed certificates cannot be used; the ones before are");
    fs::write(&key_file, key.serialize_pem()).unwrap();
    running.wait_for_log("certificates were read anew");
    pod.wait_for(all);
    pod.wait_for(more(&pod));
    pod.stop(running);
    pod.assert_lines(300);
}

#[test]
fn certificates_that_cannot_be_used_fail_the_start_with_file_and_line() {
    let pod = Pod::new();
    let broken = write(
        &pod,
        "ca.pem",
        "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n",
    );
    let output = run(
        BIN,
        &[
            "--include",
            "/nonexistent/*",
            "--to",
            "elasticsearch+https://127.0.0.1:1/app",
            &flag("ca", &broken),
        ],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("ca.pem:1"), "{said}");
}

/// With these flags the sink has to be shown `authorization`.
fn assert_login(flags: impl Fn(&Pod) -> Vec<String>, authorization: &str) {
    let pod = Pod::new();
    pod.store.require(authorization);
    pod.append_lines("app.log", 0..10);
    let flags = flags(&pod);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let running = pod.start_with(&flags);
    running.wait_for_log("the sink is there");
    pod.wait_for(10);
    pod.stop(running);
}

#[test]
fn the_sink_is_shown_a_login_of_each_kind() {
    let file = |pod: &Pod, text: &str| format!("file:{}", write(pod, "secret", text).display());
    assert_login(
        |pod| {
            vec![
                "--username=elastic".into(),
                format!("--password={}", file(pod, "s3:cret\n")),
            ]
        },
        "Basic ZWxhc3RpYzpzMzpjcmV0",
    );
    assert_login(
        |pod| vec![format!("--api-key={}", file(pod, "id:key"))],
        "ApiKey aWQ6a2V5",
    );
    assert_login(
        |pod| vec![format!("--api-key={}", file(pod, "aWQ6a2V5\n"))],
        "ApiKey aWQ6a2V5",
    );
    assert_login(|pod| vec![format!("--bearer={}", file(pod, "t0ken"))], "Bearer t0ken");
}

#[test]
fn a_login_that_is_refused_is_waited_for_and_read_again() {
    let pod = Pod::new();
    pod.store.require("Bearer new");
    pod.append_lines("app.log", 0..10);
    let secret = write(&pod, "token", "old");
    let bearer = format!("--bearer=file:{}", secret.display());
    let running: Running = pod.start_with(&[&bearer]);
    let told = running.wait_for_log("it does not know us");
    assert!(!told.contains("old"), "{told}");
    running.wait_for_log("did not take everything");
    fs::remove_file(&secret).unwrap();
    running.wait_for_log("cannot read the secret");
    fs::write(&secret, "new").unwrap();
    pod.wait_for(10);
    wait::until("readiness", || {
        let admin = running.address("admin listening");
        (testbed::client::get(&admin, "/readyz").unwrap().status == 200).then_some(())
    });
    pod.stop(running);
    pod.assert_lines(10);
}
