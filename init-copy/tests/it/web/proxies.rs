use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::{io, thread};

use super::{Site, init_copy};
use crate::{Volume, assert_done, assert_refused, text};

/// A proxy that knows CONNECT and nothing else, and leads wherever it was told to.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (target, heads) = (target.clone(), Arc::clone(&kept));
                thread::spawn(move || drop(tunnel(&client, &target, &heads)));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn tunnel(client: &TcpStream, target: &str, heads: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(client);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
    heads.lock().unwrap().push(head);
    let server = TcpStream::connect(target)?;
    let mut writer = client;
    writer.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let copied = io::copy(&mut reader, &mut &server);
            drop(copied.and_then(|_| server.shutdown(Shutdown::Write)));
        });
        io::copy(&mut &server, &mut writer)?;
        client.shutdown(Shutdown::Both)
    })
}

/// The host does not resolve: only the proxy knows where it is.
const URL: &str = "http://repository.invalid/app.war";

#[test]
fn the_environment_names_a_proxy() {
    let site = Site::serving("content");
    let proxy = Proxy::to(site.host());
    for (name, value) in [
        ("http_proxy", format!("http://{}", proxy.address)),
        ("HTTP_PROXY", format!("http://{}", proxy.address)),
        ("ALL_PROXY", proxy.address.to_string()),
    ] {
        let volume = Volume::new();
        let mut command = init_copy(&["--tries=1", URL, &text(&volume.dest(""))]);
        assert_done(&command.env(name, value).output().unwrap());
        assert_eq!(volume.names(), ["app.war"], "{name}");
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 3);
    for head in heads {
        assert!(head.starts_with("CONNECT repository.invalid:80 HTTP/1."), "{head}");
    }
    assert_eq!(site.headers("host"), vec![Some("repository.invalid".to_owned()); 3]);
}

#[test]
fn a_proxy_is_shown_the_credentials_of_its_url_and_no_others() {
    let site = Site::serving("content");
    let proxy = Proxy::to(site.host());
    let volume = Volume::new();
    let mut command = init_copy(&["--tries=1", "--bearer=env:TOKEN", URL, &text(&volume.dest(""))]);
    let output = command
        .env("http_proxy", format!("http://proxy-user:proxy-word@{}", proxy.address))
        .env("TOKEN", "for-the-server")
        .output()
        .unwrap();
    assert_done(&output);
    let head = proxy.heads().remove(0).to_ascii_lowercase();
    assert!(head.contains("proxy-authorization: basic "), "{head}");
    assert!(!head.contains("for-the-server"), "{head}");
    assert_eq!(site.headers("proxy-authorization"), [None]);
    assert_eq!(
        site.headers("authorization"),
        [Some("Bearer for-the-server".to_owned())]
    );
    assert!(!String::from_utf8_lossy(&output.stderr).contains("proxy-word"));
}

#[test]
fn some_hosts_are_reached_directly() {
    let site = Site::serving("content");
    let proxy = Proxy::to(site.host());
    for exception in ["127.0.0.1", "127.0.0.0/8", "*", "other.example, 127.0.0.1"] {
        let volume = Volume::new();
        let output = init_copy(&["--tries=1", &site.url("/app.war"), &text(&volume.dest(""))])
            .env("http_proxy", format!("http://{}", proxy.address))
            .env("NO_PROXY", exception)
            .output()
            .unwrap();
        assert_done(&output);
        assert!(proxy.heads().is_empty(), "{exception}");
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_named() {
    let volume = Volume::new();
    let run = |proxy: &str| {
        let mut command = init_copy(&["--tries=1", URL, &text(&volume.dest(""))]);
        command.env("http_proxy", proxy).output().unwrap()
    };
    assert_refused(&run("http://"), 2, &["proxy"]);
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_refused(&run(&format!("http://{unused}")), 12, &[]);
    assert!(!volume.dest("app.war").exists());
}
