//! One sink, or several by name; what one of them does not say is as it stands beside them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pod_contract::config::Settings;

use super::reading::Wanted;
use super::{Delivery, Reading, Route, own_files};
use crate::state;

/// What is the same for all of them.
pub(super) struct Common {
    pub(super) state: Option<PathBuf>,
    pub(super) grace: Duration,
    pub(super) is_replay: bool,
    /// Whether anybody still writes is looked for.
    pub(super) ends_with_writers: bool,
}

/// One login, and one certificate with its key: a sink has its own, or the common ones, and nothing of both.
const UNITS: [&[&str]; 2] = [
    &["username", "password", "api-key", "bearer", "shared-key"],
    &["client-certificate", "client-key"],
];

/// Names become directories and labels.
const MAX_NAME: usize = 63;

/// The sections of the sinks, or of the `chosen` one; empty where there are none. Nothing else is read of `s` afterwards.
pub(super) fn sections<'s>(s: &mut Settings<'s>, chosen: Option<&str>) -> Option<Vec<(String, Settings<'s>)>> {
    let mut sections = s.sections_with_defaults("sinks", &["to"], &UNITS)?;
    if !sections.is_empty() {
        s.pointless("to", "with sinks in the file, each of them says where it goes");
    }
    let names: Vec<String> = sections.iter().map(|(name, _)| name.clone()).collect();
    let bad = sections
        .iter()
        .filter(|(name, _)| !is_name(name))
        .map(|(name, section)| {
            let form = format!("letters, digits, _ and -, a letter or digit first, at most {MAX_NAME}");
            section.refuse::<()>(format!("{name:?} is no name of a sink: {form}"))
        });
    if bad.count() > 0 {
        return None;
    }
    if let Some(chosen) = chosen {
        sections.retain(|(name, _)| name == chosen);
        if sections.is_empty() {
            let known = if names.is_empty() {
                "none".into()
            } else {
                names.join(", ")
            };
            return s.refuse_together(
                &["sink"],
                format!("there is no sink {chosen:?}; those with a name: {known}"),
            );
        }
    }
    Some(sections)
}

fn is_name(name: &str) -> bool {
    let rest = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    rest && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= MAX_NAME
}

impl Route {
    /// What is logged for it says its name, if it has one.
    pub(crate) fn span(&self) -> tracing::Span {
        match &self.name {
            Some(name) => tracing::info_span!("sink", sink = &**name),
            None => tracing::Span::none(),
        }
    }

    pub(super) fn prove_all(s: &mut Settings<'_>, common: &Common, chosen: Option<&str>) -> Option<Vec<Self>> {
        let sections = sections(s, chosen)?;
        if sections.is_empty() {
            let routes = vec![Self::prove(s, None, common)?];
            return own_files::prove(s, &routes).map(|()| routes);
        }
        // Collected first: the mistakes of every section are noted.
        let proved: Vec<_> = sections
            .into_iter()
            .map(|(name, mut section)| {
                let route = Self::prove(&mut section, Some(name.into()), common);
                section.finish(route.is_some());
                route
            })
            .collect();
        let routes: Option<Vec<_>> = proved.into_iter().collect();
        let routes = routes?;
        own_files::prove(s, &routes).map(|()| routes)
    }

    fn prove(s: &mut Settings<'_>, name: Option<Arc<str>>, common: &Common) -> Option<Self> {
        let delivery = Delivery::prove(s);
        let wanted = Wanted::of(
            delivery.as_ref().map(|delivery| &delivery.target),
            delivery.as_ref().map(|delivery| &delivery.shape),
        );
        let reading = Reading::prove(s, common.state.clone(), common.grace, common.is_replay, wanted);
        let reading = reading.map(|reading| Reading {
            ends_with_writers: common.ends_with_writers,
            ..reading
        });
        let state = match (&common.state, &name) {
            (Some(state), Some(name)) => Some(state.join(state::SINKS).join(&**name)),
            (state, _) => state.clone(),
        };
        Some(Self {
            name,
            state,
            reading: reading?,
            delivery: delivery?,
        })
    }
}
