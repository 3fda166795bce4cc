//! The proved configuration; each part takes its own struct.

mod flags;
mod reading;
mod shaping;
mod sinks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use pod_contract::admin;
use pod_contract::config::{Secret, Settings};
use pod_contract::net::login::Login;
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::tls::{Renewing, Tls, Trust};
use pod_contract::units::Bytes;

pub(crate) use self::flags::{AFTER_HELP, SECTIONS, VERBS, flags};
pub(crate) use self::reading::Reading;
use self::reading::Wanted;
use self::sinks::Common;
use crate::deliver::AllRefused;
use crate::parse::Shape;
use crate::sink::{Compress, Network, Target};

const ADMIN_PORT: u16 = 9601;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What to do.
#[derive(Debug)]
pub struct Config {
    pub(crate) task: Task,
    pub(crate) state: Option<PathBuf>,
    pub(crate) grace: Duration,
}

#[derive(Debug)]
pub(crate) enum Task {
    Ship(Shipping, Vec<Route>),
    Replay(Vec<Route>),
    /// Ask whether the sinks are there.
    Greet(Vec<Route>),
    /// How far each file is.
    Status,
    /// What would be sent of standard input.
    Try(Box<Reading>, Shape),
}

/// Where to tell of what is done, and until when to do it.
#[derive(Debug)]
pub(crate) struct Shipping {
    pub(crate) admin: Option<SocketAddr>,
    /// Once this file is there, all is written.
    pub(crate) exit_when: Option<PathBuf>,
}

/// One sink, and what is read for it.
#[derive(Debug)]
pub(crate) struct Route {
    /// None of the only one, without a name.
    pub(crate) name: Option<Arc<str>>,
    /// Where its positions and its rejected records are kept.
    pub(crate) state: Option<PathBuf>,
    pub(crate) reading: Reading,
    pub(crate) delivery: Delivery,
}

/// For the network side.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) target: Target,
    pub(crate) network: Network,
    pub(crate) is_insecure: bool,
    pub(crate) shape: Shape,
    pub(crate) retry_max: Duration,
    pub(crate) dead_letter_max: u64,
    pub(crate) all_refused: AllRefused,
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let verb = s.verb().map(str::to_owned);
        if verb.as_deref() == Some("try") {
            return Self::prove_trial(s);
        }
        if verb.as_deref() == Some("status") {
            return Self::prove_status(s);
        }
        let is_replay = verb.as_deref() == Some("replay");
        let state = s.optional::<PathBuf>("state");
        let grace = s.or("grace", DEFAULT_GRACE);
        let admin = admin::prove(s, ADMIN_PORT);
        let exit_when = s.optional::<PathBuf>("exit-when-file");
        let chosen = s.optional::<String>("sink")?;
        let common = Common {
            state: state.clone().flatten(),
            grace: grace.unwrap_or_default(),
            is_replay,
        };
        let routes = Route::prove_all(s, &common, chosen.as_deref());
        let (state, grace) = (state?, grace?);
        if is_replay && state.is_none() {
            return s.refuse("state is missing: the directory with the dead-letter file");
        }
        let (routes, admin, exit_when) = (routes?, admin?, exit_when?);
        Some(Self {
            task: match verb.as_deref() {
                Some("replay") => Task::Replay(routes),
                Some("check") => Task::Greet(routes),
                _ => Task::Ship(Shipping { admin, exit_when }, routes),
            },
            state,
            grace,
        })
    }

    fn prove_status(s: &mut Settings<'_>) -> Option<Self> {
        let state = s.required::<PathBuf>("state");
        // What the sidecar has stands in the same file and environment.
        let own = flags().into_iter().map(|flag| flag.name().to_owned());
        let sections = SECTIONS.iter().map(|section| section.name.to_owned());
        own.chain(sections)
            .filter(|name| name != "state")
            .for_each(|name| s.disregard(&name));
        Some(Self {
            task: Task::Status,
            state: Some(state?),
            grace: DEFAULT_GRACE,
        })
    }

    fn prove_trial(s: &mut Settings<'_>) -> Option<Self> {
        for flag in flags::process_flags() {
            s.disregard(flag.name());
        }
        let chosen = s.optional::<String>("sink")?;
        let mut sections = sinks::sections(s, chosen.as_deref())?;
        if sections.len() > 1 {
            return s.refuse("there are several sinks: say by --sink which one");
        }
        match sections.pop() {
            None => Self::prove_trial_of(s),
            Some((_, mut section)) => {
                let proved = Self::prove_trial_of(&mut section);
                section.finish(proved.is_some());
                proved
            }
        }
    }

    fn prove_trial_of(s: &mut Settings<'_>) -> Option<Self> {
        let target = s.optional::<Target>("to")?;
        let shape = shaping::prove(s);
        // They stand in the same file and environment, and make no difference here.
        for name in OF_THE_NETWORK.iter().chain(&OF_TLS).chain(&["retry-max", "label"]) {
            s.disregard(name);
        }
        let wanted = Wanted::of(target.as_ref(), shape.as_ref());
        let reading = Reading::prove(s, None, DEFAULT_GRACE, true, wanted);
        Some(Self {
            task: Task::Try(Box::new(reading?), shape?),
            state: None,
            grace: DEFAULT_GRACE,
        })
    }
}

impl Delivery {
    fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let target = s.required::<Target>("to");
        let login = Login::prove(s, &[("api-key", "ApiKey"), ("bearer", "Bearer")]);
        let shared_key = s.optional::<Secret>("shared-key");
        let tls = Tls::prove(s);
        let timeout = s.or("request-timeout", Duration::from_secs(30));
        let compress = s.or("compress", Compress::None);
        let (given, labels) = (s.map::<String>("header"), s.map::<String>("label"));
        let shape = shaping::prove(s);
        let retry_max = s.or("retry-max", Duration::from_secs(30));
        let dead_letter_max = s.or("dead-letter-max", Bytes(16 * MIB));
        let hold = s.list::<String>("hold");
        let all_refused = s.or("all-refused", AllRefused::Hold);
        let (timeout, retry_max, target) = (timeout?, retry_max?, target?);
        if timeout.is_zero() || retry_max.is_zero() {
            return s.refuse_together(
                &["request-timeout", "retry-max"],
                "request-timeout and retry-max must not be 0s",
            );
        }
        refuse_without_effect(s, &target);
        let (headers, labels) = (header_map(s, given?)?, labels?);
        refuse_bad_labels(s, &labels)?;
        let (login, tls, shared_key) = (login?, tls?, shared_key?);
        if matches!(target, Target::Forward(_)) && login.is_some() && shared_key.is_none() {
            return s.refuse_together(
                &["username", "password"],
                "a forward server that knows users has a shared key too: give --shared-key",
            );
        }
        let is_encrypted = target.server().is_some_and(|server| server.is_encrypted);
        let protocols: &[&str] = if matches!(target, Target::Syslog(_) | Target::Forward(_)) {
            &[]
        } else {
            &["http/1.1"]
        };
        let certificates = match is_encrypted.then(|| Renewing::new(tls.clone(), protocols)) {
            Some(Err(failure)) => return s.refuse(failure.to_string()),
            Some(Ok(renewing)) => Some(Arc::new(renewing)),
            None => None,
        };
        Some(Self {
            target,
            network: Network {
                login,
                shared_key,
                tls: certificates,
                timeout,
                compress: compress?,
                headers,
                labels,
                hold: hold?,
            },
            is_insecure: is_encrypted && tls.trust == Trust::Anybody,
            shape: shape?,
            retry_max,
            dead_letter_max: dead_letter_max?.0,
            all_refused: all_refused?,
        })
    }
}

/// They say how a request is framed, to whom it goes, or who asks.
const OUR_HEADERS: [&str; 12] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// As Loki has them: <https://grafana.com/docs/loki/latest/get-started/labels/#label-format>.
fn refuse_bad_labels(s: &mut Settings<'_>, labels: &[(String, String)]) -> Option<()> {
    let is_name = |name: &str| {
        let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        rest && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
    };
    for (name, value) in labels {
        if !is_name(name) || name == "filename" || value.is_empty() {
            let why = format!(
                "{name:?} is no label of yours: letters, digits and _, not a digit first, not filename, and with a value"
            );
            return s.refuse_together(&["label"], why);
        }
    }
    Some(())
}

/// Of every request, by name.
fn header_map(s: &mut Settings<'_>, given: Vec<(String, String)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let parsed = (HeaderName::try_from(&name), HeaderValue::try_from(&value));
        let (Ok(key), Ok(value)) = parsed else {
            return s.refuse_together(&["header"], format!("{name:?} and its value are no header"));
        };
        if OUR_HEADERS.contains(&key.as_str()) {
            return s.refuse_together(
                &["header"],
                format!(
                    "{name} is what log-sidecar says itself; for a login there are --username, --api-key and --bearer"
                ),
            );
        }
        headers.append(key, value);
    }
    Some(headers)
}

const OF_TLS: [&str; 4] = ["ca", "client-certificate", "client-key", "tls-insecure"];
const OF_THE_NETWORK: [&str; 11] = [
    "shared-key",
    "header",
    "compress",
    "username",
    "password",
    "api-key",
    "bearer",
    "request-timeout",
    "dead-letter-max",
    "hold",
    "all-refused",
];

fn refuse_without_effect(s: &mut Settings<'_>, target: &Target) {
    if matches!(target, Target::Syslog(_)) {
        let of_http = OF_THE_NETWORK.iter().filter(|name| **name != "request-timeout");
        of_http.for_each(|name| s.pointless(name, "syslog knows no login, no headers and no refusal"));
    }
    if matches!(target, Target::Forward(_)) {
        for name in ["header", "api-key", "bearer", "all-refused", "dead-letter-max"] {
            s.pointless(name, "forward knows no headers, no tokens and no refusal");
        }
    } else {
        s.pointless("shared-key", "only forward has one");
    }
    match target {
        Target::Loki(_) => s.pointless("compress", "Loki takes snappy, and that is what it gets"),
        _ => s.pointless("label", "only Loki has labels; give --field"),
    }
    if !matches!(target, Target::Elasticsearch(_)) {
        s.pointless("hold", "only Elasticsearch and OpenSearch tell types of errors");
    }
    match target.server() {
        None => {
            let of_network = OF_THE_NETWORK.iter().chain(&OF_TLS);
            of_network.for_each(|name| s.pointless(name, "stdout answers at once and refuses nothing"));
        }
        Some(server) if !server.is_encrypted => {
            OF_TLS
                .iter()
                .for_each(|name| s.pointless(name, "the sink is spoken to without TLS"));
        }
        Some(_) => {}
    }
}
