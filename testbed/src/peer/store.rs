//! A stand-in for Elasticsearch's `_bulk`: keeps documents by id, answers item by item, and refuses on request.
//!
//! Wire format: <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>.
//! `POST /INDEX/_search` finds documents by their ids, `GET /INDEX/_count` counts, `GET /INDEX/_docs` lists one document a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::http::{Reply, Request, Server};

/// A stored document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// `_id`.
    pub id: String,
    /// `_source`.
    pub source: Value,
}

impl Document {
    /// The field `message`.
    pub fn message(&self) -> &str {
        self.source["message"].as_str().unwrap_or_default()
    }
}

/// What the store does with one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 201, or 409 when the id is known.
    Store,
    /// This status with an error, and nothing is stored.
    Refuse(u16),
    /// This status with an error of this type.
    RefuseAs(u16, &'static str),
    /// Stored, but the whole answer is lost: the connection closes.
    StoreAndHangUp,
}

type Judge = Box<dyn FnMut(&Document) -> Verdict + Send>;

#[derive(Default)]
struct State {
    documents: BTreeMap<String, Vec<Document>>,
    ids: BTreeSet<(String, String)>,
    judge: Option<Judge>,
    whole: Option<u16>,
    authorization: Option<String>,
    requests: usize,
    packed: usize,
    conflicts: usize,
    searches: usize,
    is_silent: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("documents", &self.documents.len())
            .finish_non_exhaustive()
    }
}

/// The store; cut off when dropped.
#[derive(Debug)]
pub struct Store {
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Store {
    /// An empty store on `address`.
    pub fn start(address: &str) -> io::Result<Self> {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::start(address, move |request| answer(&mut lock(&shared), request))?;
        Ok(Self { server, state })
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.server.address().to_string()
    }

    /// Decides about each item from now on.
    pub fn judge(&self, judge: impl FnMut(&Document) -> Verdict + Send + 'static) {
        lock(&self.state).judge = Some(Box::new(judge));
    }

    /// Answers every `_bulk` with this status; `None` ends that.
    pub fn refuse_all(&self, status: Option<u16>) {
        lock(&self.state).whole = status;
    }

    /// Answers with 401 to whoever does not send this `Authorization`.
    pub fn require(&self, authorization: &str) {
        lock(&self.state).authorization = Some(authorization.to_owned());
    }

    /// All names lead to a new index from now on, as behind an alias or a data stream that rolls over: no id is known there.
    pub fn roll_over(&self) {
        lock(&self.state).ids.clear();
    }

    /// Nobody may search.
    pub fn forbid_search(&self) {
        lock(&self.state).is_silent = true;
    }

    /// Searches seen.
    pub fn searches(&self) -> usize {
        lock(&self.state).searches
    }

    /// Cuts the connections that are open.
    pub fn cut(&self) {
        self.server.cut();
    }

    /// All documents of an index, in the order of arrival.
    pub fn documents(&self, index: &str) -> Vec<Document> {
        lock(&self.state).documents.get(index).cloned().unwrap_or_default()
    }

    /// Their messages.
    pub fn messages(&self, index: &str) -> Vec<String> {
        self.documents(index).iter().map(|d| d.message().to_owned()).collect()
    }

    /// `_bulk` requests seen.
    pub fn requests(&self) -> usize {
        lock(&self.state).requests
    }

    /// Those of them that were compressed.
    pub fn packed(&self) -> usize {
        lock(&self.state).packed
    }

    /// Items whose id was known already.
    pub fn conflicts(&self) -> usize {
        lock(&self.state).conflicts
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(state: &mut State, request: &Request) -> Reply {
    if state.authorization.is_some() && state.authorization.as_deref() != request.header("authorization") {
        return Reply::new(401, "application/json", "{\"status\":401}");
    }
    let path = request.target.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), parts.as_slice()) {
        ("POST", ["_bulk"]) => bulk(state, "", request),
        ("POST", [index, "_bulk"]) => bulk(state, index, request),
        ("POST", [_, "_refresh" | "_search"]) if state.is_silent => {
            Reply::new(403, "application/json", "{\"status\":403}")
        }
        ("POST", [_, "_refresh"]) => Reply::new(200, "application/json", "{}"),
        ("POST", [index, "_search"]) => search(state, index, request),
        ("GET", [index, "_count"]) => {
            let count = state.documents.get(*index).map_or(0, Vec::len);
            Reply::new(200, "application/json", json!({ "count": count }).to_string())
        }
        ("GET", [index, "_docs"]) => {
            let lines = state.documents.get(*index).into_iter().flatten();
            let lines = lines.map(|d| json!({ "_id": d.id, "_source": d.source }).to_string() + "\n");
            Reply::new(200, "application/x-ndjson", lines.collect::<String>())
        }
        ("GET" | "HEAD", [""]) => Reply::new(200, "application/json", "{\"tagline\":\"a stand-in\"}\n"),
        _ => Reply::text(404, "no such thing\n"),
    }
}

/// A query for ids: <https://www.elastic.co/docs/reference/query-languages/query-dsl/query-dsl-ids-query>.
fn search(state: &mut State, index: &str, request: &Request) -> Reply {
    state.searches += 1;
    let question: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let size = question["size"].as_u64().unwrap_or(10);
    let wanted = question["query"]["ids"]["values"].as_array();
    let wanted: BTreeSet<&str> = wanted.into_iter().flatten().filter_map(Value::as_str).collect();
    let documents = state.documents.get(index).into_iter().flatten();
    let found = documents.filter(|d| wanted.contains(d.id.as_str()));
    let hits: Vec<Value> = found.take(size as usize).map(|d| json!({ "_id": d.id })).collect();
    let answer = json!({ "timed_out": false, "_shards": { "failed": 0 }, "hits": { "hits": hits } });
    Reply::new(200, "application/json", answer.to_string())
}

fn bulk(state: &mut State, default_index: &str, request: &Request) -> Reply {
    state.requests += 1;
    state.packed += usize::from(request.header("content-encoding").is_some());
    if let Some(status) = state.whole {
        return Reply::new(status, "application/json", json!({ "status": status }).to_string());
    }
    if !request
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/x-ndjson"))
    {
        return Reply::text(406, "Content-Type has to be application/x-ndjson\n");
    }
    let Some(items) = parse(default_index, &request.body) else {
        return Reply::text(400, "malformed bulk body\n");
    };
    let (mut answers, mut hang_up) = (Vec::new(), false);
    for (index, document) in items {
        let verdict = state.judge.as_mut().map_or(Verdict::Store, |judge| judge(&document));
        hang_up |= verdict == Verdict::StoreAndHangUp;
        answers.push(json!({ "create": item(state, index, document, verdict) }));
    }
    if hang_up {
        return Reply::Close;
    }
    let errors = answers.iter().any(|a| a["create"]["status"].as_u64() > Some(299));
    Reply::new(
        200,
        "application/json",
        json!({ "took": 1, "errors": errors, "items": answers }).to_string(),
    )
}

fn item(state: &mut State, index: String, document: Document, verdict: Verdict) -> Value {
    let refused = match verdict {
        Verdict::Refuse(status) => Some((status, "refused")),
        Verdict::RefuseAs(status, kind) => Some((status, kind)),
        Verdict::Store | Verdict::StoreAndHangUp => None,
    };
    if let Some((status, kind)) = refused {
        return json!({ "_id": document.id, "status": status, "error": { "type": kind, "reason": "on request" } });
    }
    let id = document.id.clone();
    if state.ids.insert((index.clone(), id.clone())) {
        state.documents.entry(index).or_default().push(document);
        json!({ "_id": id, "status": 201, "result": "created" })
    } else {
        state.conflicts += 1;
        json!({ "_id": id, "status": 409, "error": { "type": "version_conflict_engine_exception", "reason": "document already exists" } })
    }
}

/// Pairs of an action line and a document line; the body has to end with a newline.
fn parse(default_index: &str, body: &[u8]) -> Option<Vec<(String, Document)>> {
    let body = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    let lines: Vec<&str> = body.split('\n').collect();
    let pairs = lines.chunks(2).map(|pair| {
        let [action, source] = pair else { return None };
        let action: Value = serde_json::from_str(action).ok()?;
        let create = action.get("create")?;
        let index = create
            .get("_index")
            .and_then(Value::as_str)
            .unwrap_or(default_index)
            .to_owned();
        Some((
            index,
            Document {
                id: create.get("_id")?.as_str()?.to_owned(),
                source: serde_json::from_str(source).ok()?,
            },
        ))
    });
    pairs.collect()
}
