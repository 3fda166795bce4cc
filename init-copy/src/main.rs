//! `init-copy SRC... DEST`, see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    init_copy::PROGRAM.start(init_copy::Config::prove, init_copy::run)
}
