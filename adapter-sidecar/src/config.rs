//! Flags and the proved configuration.

use std::net::SocketAddr;
use std::time::Duration;

use pod_contract::admin::{self, meets};
use pod_contract::config::{Flag, Settings, Word, setting};
use pod_contract::run::lifecycle::DEFAULT_GRACE;
use pod_contract::units::{Bytes, HttpUrl, Url};

const ADMIN_PORT: u16 = 9603;
const MIB: u64 = 1 << 20;

pub(crate) const AFTER_HELP: &str = "\
The deadline of an answer is the scraper's X-Prometheus-Scrape-Timeout-Seconds less a margin, or --timeout for those who send none.
Health documents of Spring Boot Actuator, MicroProfile Health, ASP.NET Core, Terminus and application/health+json are understood,
also when they come with a 503.

Example:
  adapter-sidecar --listen :9102 --health-from http://127.0.0.1:8080/metrics --metrics-from http://127.0.0.1:8080/health

Metrics: app_health_up, app_health_component_up{component}, app_health_status{component}, adapter_target_up,
adapter_scrape_duration_seconds

Exit codes: 0 stopped, 1 failed, 2 bad flags";

pub(crate) fn flags() -> Vec<Flag> {
    vec![
        setting::<SocketAddr>(
            "listen",
            "ADDR",
            "Where /health and /metrics are answered, such as :9102",
        ),
        setting::<HttpUrl>(
            "health-from",
            "URL",
            "The application's metrics: GET /health is answered with its status, body and type",
        ),
        setting::<HttpUrl>(
            "metrics-from",
            "URL",
            "The application's health document: GET /metrics is answered with metrics made of it",
        ),
        setting::<OnDown>(
            "on-down",
            "WHAT",
            "When the health document cannot be had: status (5xx with the cause) or metric (200 with adapter_target_up 0) [default: status]",
        ),
        setting::<Duration>(
            "timeout",
            "DURATION",
            "Deadline for those who send none, such as the kubelet with its 1s [default: 900ms]",
        ),
        setting::<Bytes>("max-body", "SIZE", "Longest body that passes through [default: 64MiB]"),
        setting::<Bytes>("max-document", "SIZE", "Longest health document [default: 256KiB]"),
        setting::<Duration>("grace", "DURATION", "On stop, give up after [default: 10s]"),
        admin::flag("Where /healthz, /readyz and the adapter's own /metrics listen, or off [default: 0.0.0.0:9603]"),
    ]
}

/// What is answered, and by asking whom.
#[derive(Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) health_from: Option<Url>,
    pub(crate) metrics_from: Option<Url>,
    pub(crate) on_down: OnDown,
    pub(crate) timeout: Duration,
    pub(crate) max_body: u64,
    pub(crate) max_document: usize,
    pub(crate) grace: Duration,
    pub(crate) admin: Option<SocketAddr>,
}

/// What a scraper sees when the application cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDown {
    Status,
    Metric,
}

impl Word for OnDown {
    const FORM: &'static str = "status or metric";
    const WORDS: &'static [(&'static str, Self)] = &[("status", Self::Status), ("metric", Self::Metric)];
}

impl Config {
    /// Reads the settings; `None` after a mistake was noted.
    pub fn prove(s: &mut Settings<'_>) -> Option<Self> {
        let listen = s.required("listen");
        let health_from = s.optional::<HttpUrl>("health-from");
        let metrics_from = s.optional::<HttpUrl>("metrics-from");
        let on_down = s.or("on-down", OnDown::Status);
        let timeout = s.or("timeout", Duration::from_millis(900));
        let max_body = s.or("max-body", Bytes(64 * MIB));
        let max_document = s.or("max-document", Bytes(MIB / 4));
        let grace = s.or("grace", DEFAULT_GRACE);
        let admin = admin::prove(s, ADMIN_PORT);
        let (health_from, metrics_from) = (health_from?, metrics_from?);
        let timeout = timeout?;
        if timeout.is_zero() {
            return s.refuse_together(&["timeout"], "timeout must not be 0s");
        }
        if health_from.is_none() && metrics_from.is_none() {
            return s.refuse("give health-from, metrics-from, or both: there is nothing to answer with");
        }
        if metrics_from.is_none() {
            for name in ["on-down", "max-document"] {
                s.pointless(name, "no health document is asked for; give --metrics-from too");
            }
        }
        if health_from.is_none() {
            s.pointless("max-body", "nothing passes through; give --health-from too");
        }
        let (listen, admin) = (listen?, admin?);
        if meets(Some(listen), admin) {
            return s.refuse_together(&["listen", "admin"], format!("both would listen on {listen}"));
        }
        Some(Self {
            listen,
            health_from: health_from.map(|url| url.0),
            metrics_from: metrics_from.map(|url| url.0),
            on_down: on_down?,
            timeout,
            max_body: max_body?.0,
            max_document: max_document?.as_usize(),
            grace: grace?,
            admin,
        })
    }
}
