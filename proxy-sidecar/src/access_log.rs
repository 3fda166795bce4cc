//! A line for each request, when that is wanted: what was asked, what came of it, and where.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pod_contract::config::Word;
use tokio::time::Instant;

use crate::endpoints::Endpoint;
use crate::grpc;
use crate::respond::Error;
use crate::service::Service;

/// Which requests have a line, of those that were understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessLog {
    Off,
    /// Those that did not end with a complete response below 500, or of gRPC with a code that says as much.
    Errors,
    All,
}

impl Word for AccessLog {
    const FORM: &'static str = "off, errors or all";
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self::Off), ("errors", Self::Errors), ("all", Self::All)];
}

/// One request, from when it was understood; its line is written when it ends, however it does.
#[derive(Debug)]
pub(crate) struct Record(Option<Box<Line>>);

#[derive(Debug)]
struct Line {
    service: Rc<Service>,
    method: String,
    /// Without the query, which may have secrets.
    path: String,
    began: Instant,
    tries: Cell<u32>,
    endpoint: RefCell<Option<Rc<Endpoint>>>,
    status: Cell<u16>,
    /// How a call of gRPC ended.
    code: Cell<Option<u8>>,
    /// Why the proxy answered in the place of the cluster.
    reason: Cell<Option<&'static str>>,
    is_complete: Cell<bool>,
}

impl Record {
    /// `asked`: method and path, which is not looked at unless there may be a line.
    pub(crate) fn begin(service: &Rc<Service>, asked: impl FnOnce() -> (String, String)) -> Self {
        if service.config.access_log == AccessLog::Off {
            return Self(None);
        }
        let (method, mut path) = asked();
        path.truncate(path.find('?').unwrap_or(path.len()));
        Self(Some(Box::new(Line {
            service: Rc::clone(service),
            method,
            path,
            began: Instant::now(),
            tries: Cell::new(0),
            endpoint: RefCell::default(),
            status: Cell::new(0),
            code: Cell::new(None),
            reason: Cell::new(None),
            is_complete: Cell::new(false),
        })))
    }

    /// A try on `endpoint` begins.
    pub(crate) fn tries(&self, endpoint: &Rc<Endpoint>) {
        if let Some(line) = &self.0 {
            line.tries.set(line.tries.get() + 1);
            line.endpoint.replace(Some(Rc::clone(endpoint)));
        }
    }

    /// An endpoint has answered.
    pub(crate) fn answered(&self, status: u16) {
        if let Some(line) = &self.0 {
            line.status.set(status);
        }
    }

    /// A call of gRPC has ended with this code, if it has.
    pub(crate) fn ended(&self, code: Option<u8>) {
        if let Some(line) = &self.0 {
            line.code.set(code);
        }
    }

    /// The proxy has answered.
    pub(crate) fn failed(&self, error: &Error) {
        if let Some(line) = &self.0 {
            line.status.set(error.status().0);
            line.reason.set(Some(error.reason().name()));
        }
    }

    /// The client has the whole response.
    pub(crate) fn complete(&self) {
        if let Some(line) = &self.0 {
            line.is_complete.set(true);
        }
    }
}

impl Line {
    fn is_wanted(&self) -> bool {
        let is_call_well = self.code.get().is_none_or(|code| !grpc::is_failure(code));
        let is_well = self.is_complete.get() && self.status.get() < 500 && is_call_well && self.reason.get().is_none();
        self.service.config.access_log == AccessLog::All || !is_well
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.is_wanted() {
            return;
        }
        let endpoint = self.endpoint.borrow();
        tracing::info!(
            service = self.service.config.name,
            method = self.method,
            path = self.path,
            status = self.status.get(),
            grpc_status = self.code.get(),
            complete = self.is_complete.get(),
            endpoint = endpoint.as_ref().map(|endpoint| &*endpoint.label),
            tries = self.tries.get(),
            reason = self.reason.get(),
            took_ms = self.began.elapsed().as_secs_f64() * 1e3,
            "request"
        );
    }
}
