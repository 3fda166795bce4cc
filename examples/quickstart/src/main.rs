//! Starts the demonstration application, its surroundings and the four binaries around a temporary folder, drives traffic, and tells what
//! went in and what came out. `quickstart TARGET_DIR [--once]`; `run.sh` builds and calls it.

mod story;
mod tell;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::story::Story;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (target, once) = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [target] => ((*target).to_owned(), false),
        [target, "--once"] => ((*target).to_owned(), true),
        _ => {
            tell::line("usage: examples/quickstart/run.sh [--once]");
            return ExitCode::from(2);
        }
    };
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped)).expect("the signal may be handled");
    }
    let mut story = Story::begin(&target);
    story.init_container();
    story.start();
    story.ambassador(&stopped);
    story.sidecar();
    story.adapter();
    if !once {
        story.addresses();
        while !stopped.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
        }
    }
    if story.end() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
