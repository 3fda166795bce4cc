//! The command line that all binaries share: settings with their environment twins, and the subcommands `check`, `schema`, `probe`, `install-self`.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::misplaced;
use crate::config::{Flag, Problem, Section, Settings, schema, setting, variable};
use crate::probe;
use crate::start::exit::{self, Failure};
use crate::start::install_self::install_self;
use crate::start::last_words::{LastWords, named};
use crate::start::log::{self, Format, Level};
use crate::start::termination::TerminationLog;

/// One binary: its name, what its help says, and its own settings.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name of the executable, `log-sidecar`.
    pub name: &'static str,
    /// The version that `--version` prints.
    pub version: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Examples and exit codes, shown after the options.
    pub after_help: &'static str,
    /// The settings beyond the shared ones, from [`setting`].
    pub flags: fn() -> Vec<Flag>,
    /// What only the file can carry.
    pub sections: &'static [Section],
    /// Subcommands of this binary's own; [`Settings::verb`] tells which one was given.
    pub verbs: &'static [Verb],
    /// `check --online` runs with the verb `check`: it asks the peers, too.
    pub checks_online: bool,
}

/// A subcommand with settings of its own.
#[derive(Debug, Clone, Copy)]
pub struct Verb {
    /// The word on the command line.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Examples, shown after the options.
    pub after_help: &'static str,
    /// Its settings beyond the shared ones.
    pub flags: fn() -> Vec<Flag>,
    /// What only its file can carry.
    pub sections: &'static [Section],
    /// Made to be an exec probe, such as one of a neighbour's container, whose termination message is not its own.
    pub is_probe: bool,
}

/// The settings once more, as the file is then.
pub struct Again<'a, C> {
    /// What `--config` names.
    pub file: Option<&'a Path>,
    /// Reads and proves them.
    pub prove: &'a dyn Fn() -> Result<C, Failure>,
}

impl Program {
    /// Parses the command line and does what it says. `prove` turns settings into a configuration, `run` does the work.
    pub fn start<C>(
        &self,
        prove: impl Fn(&mut Settings<'_>) -> Option<C>,
        run: impl FnOnce(C, LastWords) -> Result<(), Failure>,
    ) -> ExitCode {
        self.start_reloading(prove, |config, words, _| run(config, words))
    }

    /// The same of a program that reads its settings again while it runs.
    pub fn start_reloading<C>(
        &self,
        prove: impl Fn(&mut Settings<'_>) -> Option<C>,
        run: impl FnOnce(C, LastWords, Again<'_, C>) -> Result<(), Failure>,
    ) -> ExitCode {
        let arguments = self.arguments();
        if let Some(mistake) = self.misplaced(&arguments) {
            return end(
                &self.last_words(named(&arguments)),
                Err(Failure::new(exit::USAGE, mistake)),
            );
        }
        let matches = match self.command().try_get_matches_from(&arguments) {
            Ok(matches) => matches,
            Err(error) => return self.no_command(&arguments, &error),
        };
        match matches.subcommand() {
            Some(("probe", sub)) => end(&self.last_words(None), probe::run(sub)),
            Some(("install-self", sub)) => end(&self.last_words(None), self.install(sub)),
            Some(("schema", _)) => end(&self.last_words(None), self.print_schema()),
            Some(("check", sub)) if self.checks_online && sub.get_flag(ONLINE) => {
                self.prove_and(sub, Some("check"), prove, run)
            }
            Some(("check", sub)) => self.prove_and(sub, None, prove, |_, _, _| {
                say(&format!("{}: the configuration is valid", self.name))
            }),
            Some((verb, sub)) => self.prove_and(sub, Some(verb), prove, run),
            None => self.prove_and(&matches, None, prove, run),
        }
    }

    /// Help and version are printed to stdout and are no error; a mistake has to reach whoever only sees the pod.
    fn no_command(&self, arguments: &[OsString], error: &clap::Error) -> ExitCode {
        let printed = error.print();
        if !error.use_stderr() {
            return finish(printed.map_or(exit::FAILED, |()| exit::DONE));
        }
        let words = self.last_words(named(arguments));
        let text = error.render().to_string();
        let failure = Failure::new(exit::USAGE, text.trim_start_matches("error: "));
        write_last(&words, &failure);
        finish(exit::USAGE)
    }

    /// Into the file that the settings name, or else that the variable names, or else Kubernetes' own. A guest in a container has its
    /// variables too: what they say is said to the container's own process.
    fn last_words(&self, in_settings: Option<PathBuf>) -> LastWords {
        let arguments = self.arguments();
        let verb = arguments.get(1).and_then(|word| word.to_str());
        let is_probe =
            matches!(verb, Some("probe" | "check" | "schema")) || self.verb(verb).is_some_and(|verb| verb.is_probe);
        let is_guest = is_probe && std::process::id() != 1;
        let log = if is_guest {
            named(&arguments).map(TerminationLog::at)
        } else {
            let by_variable = || std::env::var_os(self.prefix() + &variable("termination-log"));
            let path = in_settings.or_else(|| by_variable().filter(|path| !path.is_empty()).map(PathBuf::from));
            Some(path.map_or_else(TerminationLog::default_path, TerminationLog::at))
        };
        LastWords::new(self.name, log)
    }

    fn verb(&self, name: Option<&str>) -> Option<&Verb> {
        self.verbs.iter().find(|verb| Some(verb.name) == name)
    }

    /// The command line; called by the name of a verb, as through a link, the binary is that verb.
    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<_> = std::env::args_os().collect();
        let called = arguments
            .first()
            .and_then(|path| Path::new(path).file_name())
            .map(OsString::from);
        if let Some(verb) = self
            .verbs
            .iter()
            .find(|verb| called.as_deref() == Some(verb.name.as_ref()))
        {
            arguments.insert(1, verb.name.into());
        }
        arguments
    }

    fn prove_and<C>(
        &self,
        flags: &ArgMatches,
        verb: Option<&str>,
        prove: impl Fn(&mut Settings<'_>) -> Option<C>,
        run: impl FnOnce(C, LastWords, Again<'_, C>) -> Result<(), Failure>,
    ) -> ExitCode {
        let (in_settings, proved) = self.prove(flags, verb, &prove);
        let words = self.last_words(in_settings);
        let (shared, config) = match proved {
            Ok(proved) => proved,
            Err(failure) => return end(&words, Err(failure)),
        };
        log::start(shared.level, shared.format);
        for unused in shared.unused {
            tracing::warn!("{unused}");
        }
        let again = Again {
            file: flags.get_one::<String>("config").map(Path::new),
            prove: &|| {
                let (shared, config) = self.prove(flags, verb, &prove).1?;
                for unused in shared.unused {
                    tracing::warn!("{unused}");
                }
                Ok(config)
            },
        };
        end(&words, run(config, words.clone(), again))
    }

    /// Where the last words go, as far as that is known, and what the settings come to.
    fn prove<C>(
        &self,
        flags: &ArgMatches,
        verb: Option<&str>,
        prove: impl Fn(&mut Settings<'_>) -> Option<C>,
    ) -> (Option<PathBuf>, Result<(Shared, C), Failure>) {
        let file = flags.get_one::<String>("config").map(PathBuf::from);
        let prefix = self.prefix();
        let own = self.verb(verb).map_or(self.flags, |verb| verb.flags)();
        let all = own.into_iter().chain(shared()).collect();
        let sections = self.verb(verb).map_or(self.sections, |verb| verb.sections);
        let mut settings = Settings::new(flags, &prefix, file.as_deref(), all, sections).for_verb(verb);
        // By itself: a mistake in another setting must not keep it from being told there.
        let in_settings = settings.optional::<PathBuf>("termination-log").flatten();
        let shared = Shared::prove(&mut settings);
        let config = prove(&mut settings);
        settings.finish(shared.is_some() && config.is_some());
        let problems = settings.problems();
        let proved = match (shared, config, problems.as_slice()) {
            (Some(shared), Some(config), []) => {
                let unused = settings.unused();
                Ok((Shared { unused, ..shared }, config))
            }
            _ => {
                let lines: Vec<_> = problems.iter().map(|p| format!("\n  {p}")).collect();
                let count = if lines.len() == 1 {
                    "1 mistake".into()
                } else {
                    format!("{} mistakes", lines.len())
                };
                Err(Failure::new(
                    exit::USAGE,
                    format!("{count} in the configuration:{}", lines.concat()),
                ))
            }
        };
        (in_settings, proved)
    }

    fn install(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let dir = matches.get_one::<String>("dir").map_or(".", String::as_str);
        let path = install_self(self.name, Path::new(dir))?;
        say(&format!("{}: installed as {}", self.name, path.display()))
    }

    fn prefix(&self) -> String {
        variable(self.name) + "_"
    }

    /// What the file of the binary itself may hold.
    fn print_schema(&self) -> Result<(), Failure> {
        let flags: Vec<_> = (self.flags)().into_iter().chain(shared()).collect();
        say(&format!("{:#}", schema(self.name, &flags, self.sections)))
    }

    /// What clap takes for something else than it was meant to be.
    fn misplaced(&self, arguments: &[OsString]) -> Option<String> {
        let verb = arguments.get(1).and_then(|word| word.to_str());
        let own = self.verb(verb).map_or(self.flags, |verb| verb.flags)();
        let flags: Vec<_> = own.into_iter().chain(shared()).chain([config_flag()]).collect();
        let verbs: Vec<_> = BUILT_IN
            .into_iter()
            .chain(self.verbs.iter().map(|verb| verb.name))
            .collect();
        misplaced::find(self.name, arguments, &flags, &verbs)
    }

    fn settings(&self, own: Vec<Flag>) -> Vec<Arg> {
        let prefix = self.prefix();
        let all = own.into_iter().chain([config_flag()]).chain(shared());
        all.map(|flag| {
            let variable = prefix.clone() + &variable(flag.name());
            match flag.in_file() {
                Some(_) => flag.arg.env(variable).hide_env_values(true),
                None => flag.arg,
            }
        })
        .collect()
    }

    /// The whole command line, also used to snapshot the help in tests.
    pub fn command(&self) -> Command {
        let verbs = self.verbs.iter().map(|verb| {
            Command::new(verb.name)
                .about(verb.about)
                .after_help(verb.after_help)
                .args(self.settings((verb.flags)()))
                .args_override_self(true)
        });
        Command::new(self.name)
            .version(self.version)
            .about(self.about)
            .after_help(self.after_help)
            .args(self.settings((self.flags)()))
            .args_conflicts_with_subcommands(true)
            .args_override_self(true)
            .subcommands(verbs)
            .subcommand(
                Command::new("check")
                    .about("Prove the configuration and exit: 0 valid, 2 not")
                    .args(self.settings((self.flags)()))
                    .args(self.checks_online.then(online_flag)),
            )
            .subcommand(Command::new("schema").about("Print the JSON Schema of the file, for editors and checks"))
            .subcommand(probe::command())
            .subcommand(
                Command::new("install-self")
                    .about(
                        "Copy this binary into a directory, such as a volume shared with a neighbour without a shell",
                    )
                    .arg(Arg::new("dir").value_name("DIR").required(true)),
            )
            .disable_help_subcommand(true)
    }
}

/// The subcommands that every binary has.
const BUILT_IN: [&str; 4] = ["check", "schema", "probe", "install-self"];

const ONLINE: &str = "online";

fn online_flag() -> Arg {
    Arg::new(ONLINE)
        .long(ONLINE)
        .action(ArgAction::SetTrue)
        .help("Ask the peers too, and send nothing: 1 when one is not there, or does not know us")
}

/// Which file; no setting that the file itself could have.
fn config_flag() -> Flag {
    setting::<PathBuf>("config", "FILE", "YAML file with the same names as the flags")
}

/// The settings of every binary.
fn shared() -> [Flag; 3] {
    [
        setting::<Level>("log-level", "LEVEL", "error, warn, info or debug [default: info]"),
        setting::<Format>(
            "log-format",
            "FORMAT",
            "auto (text on a terminal, else JSON), text or json [default: auto]",
        ),
        setting::<PathBuf>(
            "termination-log",
            "FILE",
            "Where the last words go [default: /dev/termination-log where it exists]",
        ),
    ]
}

struct Shared {
    level: Level,
    format: Format,
    /// Variables and settings that nobody has asked for.
    unused: Vec<Problem>,
}

impl Shared {
    fn prove(settings: &mut Settings<'_>) -> Option<Self> {
        let level = settings.or("log-level", Level::INFO);
        let format = settings.or("log-format", Format::Auto);
        Some(Self {
            level: level?,
            format: format?,
            unused: Vec::new(),
        })
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the log may never have started, and the message is what is missing"
)]
fn write_last(words: &LastWords, failure: &Failure) {
    if let Err(error) = words.end(failure) {
        eprintln!("{}: cannot write the termination message: {error}", words.name());
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one report of why the process ends, also where the log never started"
)]
fn end(words: &LastWords, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => finish(exit::DONE),
        Err(failure) => {
            write_last(words, &failure);
            eprintln!("{}: {failure}", words.name());
            finish(failure.code)
        }
    }
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| Failure::failed(format!("cannot write to stdout: {e}")))
}

fn finish(code: u8) -> ExitCode {
    ExitCode::from(code)
}
