//! One line an event on standard error: text on a terminal, JSON otherwise.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::LevelFilter;

use crate::config::Word;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// `time LEVEL message key=value`.
    Text,
    /// One JSON object a line.
    Json,
}

impl Word for Format {
    const FORM: &'static str = "auto, text or json";
    const WORDS: &'static [(&'static str, Self)] = &[("auto", Self::Auto), ("text", Self::Text), ("json", Self::Json)];
}

/// The least severe level that is written.
#[derive(Debug, Clone, Copy)]
pub struct Level(LevelFilter);

impl Word for Level {
    const FORM: &'static str = "error, warn, info or debug";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self(LevelFilter::ERROR)),
        ("warn", Self(LevelFilter::WARN)),
        ("info", Self::INFO),
        ("debug", Self(LevelFilter::DEBUG)),
    ];
}

impl Level {
    /// What happened, once each.
    pub const INFO: Self = Self(LevelFilter::INFO);
}

/// Starts the process's log; the first call wins.
pub fn start(level: Level, format: Format) {
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_max_level(level.0)
        .with_writer(io::stderr)
        .with_target(false);
    let json = format == Format::Json || (format == Format::Auto && !terminal);
    let started = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init()
    } else {
        builder.with_ansi(terminal).try_init()
    };
    drop(started);
}
