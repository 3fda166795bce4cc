//! A proxy between a load generator and an origin of two servers (one `nginx`): what a number of requests takes of it.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::tls::Authority;

use super::generator::ask;
use super::measure::Sample;
use super::steady::cpu;
use crate::error::{During as _, Error};
use crate::scenario::Traffic;

/// For a server to listen.
const PATIENCE: Duration = Duration::from_secs(10);
const WARM_UP: Duration = Duration::from_secs(1);

/// Starts `command`, with its port in the place of `{port}` and those of the origin in the places of `{one}` and `{two}`, and asks.
pub(super) fn observe(traffic: Traffic, scratch: &Path, target: &Path, command: &[String]) -> Result<Sample, Error> {
    let [port, one, two] = free_ports().during("find free ports for", scratch)?;
    let origin = scratch.join("origin");
    let _origin = start_origin(&origin, [one, two], traffic).during("start nginx in", &origin)?;
    let places = [("{port}", port), ("{one}", one), ("{two}", two)];
    let fill = |word: &String| {
        places.iter().fold(word.clone(), |word, (place, port)| {
            word.replace(place, &port.to_string())
        })
    };
    let words: Vec<String> = command.iter().map(fill).collect();
    let [program, arguments @ ..] = words.as_slice() else {
        return Err(Error::Ended {
            how: "is nothing".into(),
        });
    };
    let program = Path::new(program);
    let proxy = Server::start(Command::new(program).args(arguments), port).during("run", program)?;
    let url = format!("http://127.0.0.1:{port}/body");
    ask(&url, traffic, WARM_UP).during("ask", program)?;
    let before = proxy.cpu().during("read the CPU time of", program)?;
    let seconds = Duration::from_secs(traffic.seconds);
    let answered = ask(&url, traffic, seconds).during("ask", program)?;
    let after = proxy.cpu().during("read the CPU time of", program)?;
    let peak_rss_kib = proxy.peak_rss_kib().during("read the memory of", program)?;
    fs::write(target, &answered.errors).during("write", target)?;
    let share = traffic.per as f64 / answered.requests.max(1) as f64;
    Ok(Sample {
        wall_seconds: seconds.as_secs_f64() * share,
        user_seconds: (after.0 - before.0) * share,
        system_seconds: (after.1 - before.1) * share,
        peak_rss_kib,
        delay_ms: answered.delay_ms,
    })
}

/// A process that listens, with its children; ends with this value.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, port: u16) -> io::Result<Self> {
        let mut server = Self(command.stdin(Stdio::null()).spawn()?);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > PATIENCE || server.0.try_wait()?.is_some() {
                return Err(io::Error::other("it does not listen"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The process and its children.
    fn all(&self) -> io::Result<Vec<u32>> {
        let id = self.0.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children = children.split_whitespace().filter_map(|word| word.parse().ok());
        Ok(std::iter::once(id).chain(children).collect())
    }

    /// Seconds, user and system.
    fn cpu(&self) -> io::Result<(f64, f64)> {
        self.all()?.into_iter().map(cpu).try_fold((0.0, 0.0), |sum, seconds| {
            let seconds = seconds?;
            Ok((sum.0 + seconds.0, sum.1 + seconds.1))
        })
    }

    /// Of the largest process.
    fn peak_rss_kib(&self) -> io::Result<u64> {
        let of = |id| {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            number.ok_or_else(|| io::Error::other("it has no VmHWM"))
        };
        self.all()?
            .into_iter()
            .map(of)
            .try_fold(0, |most, kib| kib.map(|kib: u64| most.max(kib)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).ok();
        self.0.wait().ok();
    }
}

/// Bound at the same time, so that they differ.
fn free_ports() -> io::Result<[u16; 3]> {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let listeners = [bind()?, bind()?, bind()?];
    let [a, b, c] = listeners.map(|listener| listener.local_addr().map(|address| address.port()));
    Ok([a?, b?, c?])
}

fn start_origin(folder: &Path, ports: [u16; 2], traffic: Traffic) -> io::Result<Server> {
    fs::create_dir(folder)?;
    let length = usize::try_from(traffic.body).map_err(io::Error::other)?;
    fs::write(folder.join("body"), "x".repeat(length))?;
    let root = folder.display();
    let [one, two] = ports;
    let (listen, tls) = if traffic.secure {
        let authority = Authority::new();
        let pair = authority.pair("origin.example");
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("crt", pair.certificate),
            ("key", pair.key),
        ] {
            fs::write(folder.join(name), text)?;
        }
        let tls = format!(
            "ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {root}/crt; ssl_certificate_key {root}/key; ssl_session_cache builtin;"
        );
        ("ssl", tls)
    } else {
        (if traffic.streams > 0 { "http2" } else { "" }, String::new())
    };
    let server = |port: u16| {
        format!("server {{ listen 127.0.0.1:{port} {listen} backlog=1024; {tls} location / {{ root {root}; }} }}\n")
    };
    let conf = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 60s; http2_max_concurrent_streams 1000;\n\
         client_body_temp_path {root}/t; proxy_temp_path {root}/t; fastcgi_temp_path {root}/t; uwsgi_temp_path {root}/t; scgi_temp_path {root}/t;\n\
         {}{} }}\n",
        server(one),
        server(two)
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, conf)?;
    Server::start(Command::new("nginx").arg("-c").arg(&path), one)
}
