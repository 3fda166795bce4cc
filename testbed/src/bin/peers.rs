//! The story's peers as a process, for container tests: `peers store --listen ADDR`, `peers backend --listen ADDR --name NAME`.

use std::process::ExitCode;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
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
    // The peer serves on threads of its own until a signal comes.
    let ended = started.and_then(|peer| {
        Signals::new([SIGTERM, SIGINT])?.forever().next();
        drop(peer);
        Ok(())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
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
