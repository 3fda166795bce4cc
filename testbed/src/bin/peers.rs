//! The story's peers as a process, for container tests: `peers store --listen ADDR`, `peers backend --listen ADDR --name NAME`.

use std::process::ExitCode;

use testbed::peer::{Backend, Store};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let started = match args.as_slice() {
        ["store", "--listen", address] => Store::start(address).map(|peer| Box::new(peer) as Box<dyn std::any::Any>),
        ["backend", "--listen", address, "--name", name] => {
            Backend::start(address, name).map(|peer| Box::new(peer) as _)
        }
        _ => Err(std::io::Error::other(
            "usage: peers store --listen ADDR | peers backend --listen ADDR --name NAME",
        )),
    };
    match started {
        Ok(peer) => {
            // The peer serves on threads of its own until the process is killed.
            loop {
                std::thread::park();
                std::hint::black_box(&peer);
            }
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a development tool")]
fn complain(error: &std::io::Error) {
    eprintln!("peers: {error}");
}
