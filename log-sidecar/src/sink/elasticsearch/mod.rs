//! Elasticsearch and OpenSearch `_bulk`: <https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>.
//!
//! `create` with an id of our own makes a repeat harmless: the second answer is 409, and the record is there.

mod known;
mod reply;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub(crate) use self::known::Known;
use self::known::{SEARCH, answer, question};
use self::reply::judge;
use super::connect::{CONNECT_TIMEOUT, Connector, chain};
use super::document::Encoder;
use super::index::{Index, Names};
use super::{Answer, Cluster, Network};
use crate::batch::Record;
use crate::parse::millis;
use crate::recycle::{Pool, Recycled};

/// With the filter below an item answers with about 30 bytes, or a few hundred when it failed.
const MAX_ANSWER: usize = 16 << 20;
/// Below the idle timeouts of the usual load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// What stands around the text of a record, bytes, about.
const AROUND: usize = 256;
/// Bodies that are kept for the next ones, and how large one is at least: smaller ones do not come from the kernel.
const SPARE_BODIES: usize = 2;
const LEAST_BODY: usize = 128 << 10;
const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";
/// All that decides; `status` keeps every item in its position.
const FILTER: &str = "filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason";

#[derive(Debug)]
pub(crate) struct Elasticsearch {
    client: Client<Connector, Full<Bytes>>,
    bulk: String,
    index: Index,
    root: String,
    network: Network,
    pub(super) bodies: Arc<Pool>,
    encoder: Encoder,
}

impl Elasticsearch {
    pub(crate) fn new(cluster: &Cluster, network: Network) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(Connector::new(network.tls.clone()));
        let root = format!("{}{}/", cluster.origin, cluster.prefix);
        let pipeline = cluster.pipeline.as_ref();
        let pipeline = pipeline.map_or(String::new(), |name| format!("&pipeline={name}"));
        Self {
            client,
            bulk: if cluster.index.is_dated() {
                format!("{root}_bulk?{FILTER}{pipeline}")
            } else {
                format!("{root}{}/_bulk?{FILTER}{pipeline}", cluster.index.at(0))
            },
            index: cluster.index.clone(),
            root,
            network,
            bodies: Pool::new(LEAST_BODY, SPARE_BODIES),
            encoder: Encoder::new(),
        }
    }

    /// Whoever is there and knows us is one to send to; what else is wrong shows then.
    pub(crate) async fn greet(&self) -> Result<(), String> {
        let asked = async {
            let request = self.request(Method::HEAD, &self.root)?;
            let request = request.body(Full::default()).map_err(|e| e.to_string())?;
            self.client.request(request).await.map_err(|e| chain(&e))
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, asked).await {
            Ok(Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => Err(format!(
                "status {}: it does not know us; give --username and --password, --api-key or --bearer as they are there",
                response.status()
            )),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(why),
            Err(_) => Err("no answer in time".into()),
        }
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let body = Bytes::from_owner(self.encode(records, read_at));
        match self.exchange(&self.bulk, NDJSON, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len(), &self.network.hold),
            Err(Unanswered { why, is_sent }) => Answer::Later {
                why,
                after: None,
                is_unclear: is_sent,
            },
        }
    }

    /// Asks everything behind the name of the index. What was taken just now shows after a refresh only.
    /// None if that is the index itself.
    pub(crate) async fn known(&self, records: &[Record<'_>]) -> Option<Known> {
        // One by date is no alias: an id that is known there is told by the answer to a repeat.
        if self.index.is_dated() {
            return None;
        }
        let index = format!("{}{}/", self.root, self.index.at(0));
        let ids: Vec<String> = records.iter().map(Record::id).collect();
        let refreshed = self.exchange(&format!("{index}_refresh"), JSON, Bytes::new()).await;
        let found = match refreshed {
            Ok((StatusCode::OK | StatusCode::NOT_FOUND, ..)) => {
                self.exchange(&format!("{index}{SEARCH}"), JSON, question(&ids).into())
                    .await
            }
            other => other,
        };
        Some(match found {
            Ok((status, _, body)) => answer(status, &body, &ids),
            Err(unanswered) => Known::NotNow(unanswered.why),
        })
    }

    fn encode(&self, records: &[Record<'_>], read_at: SystemTime) -> Recycled {
        let text: usize = records.iter().map(|record| record.text.len()).sum();
        let mut body = self.bodies.take(text + records.len() * AROUND);
        let mut documents = self.encoder.documents(read_at);
        let mut names = self.index.is_dated().then(|| Names::new(&self.index));
        for record in records {
            body.extend_from_slice(b"{\"create\":{");
            if let Some(names) = &mut names {
                body.extend_from_slice(b"\"_index\":\"");
                body.extend_from_slice(names.at(record.time.unwrap_or(millis(read_at))).as_bytes());
                body.extend_from_slice(b"\",");
            }
            body.extend_from_slice(b"\"_id\":\"");
            record.write_id(&mut body);
            body.extend_from_slice(b"\"}}\n");
            documents.add(&mut body, record);
        }
        body
    }

    /// The login is read anew for each request: a mounted Secret changes.
    fn request(&self, method: Method, url: &str) -> Result<http::request::Builder, String> {
        let request = Request::builder().method(method).uri(url);
        match &self.network.login {
            Some(login) => Ok(request.header(AUTHORIZATION, login.authorization().map_err(|e| e.to_string())?)),
            None => Ok(request),
        }
    }

    async fn exchange(&self, url: &str, kind: &str, body: Bytes) -> Result<(StatusCode, HeaderMap, Bytes), Unanswered> {
        let request = self.request(Method::POST, url).map_err(Unanswered::unsent)?;
        let request = request.header(CONTENT_TYPE, kind).body(Full::new(body));
        let request = request.map_err(|e| Unanswered::unsent(e.to_string()))?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|e| Unanswered {
                why: chain(&e),
                is_sent: !e.is_connect(),
            })?;
            let (head, body) = response.into_parts();
            let body = whole(body).await.map_err(|why| Unanswered { why, is_sent: true })?;
            Ok((head.status, head.headers, body))
        };
        let timeout = self.network.timeout;
        let answered = tokio::time::timeout(timeout, answered).await;
        answered.unwrap_or_else(|_| {
            let why = format!("no answer within {timeout:?}");
            Err(Unanswered { why, is_sent: true })
        })
    }
}

/// Why there is no answer, and whether the sink may have acted on the request all the same.
struct Unanswered {
    why: String,
    is_sent: bool,
}

impl Unanswered {
    fn unsent(why: String) -> Self {
        Self { why, is_sent: false }
    }
}

async fn whole(body: Incoming) -> Result<Bytes, String> {
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| chain(&*e))?;
    Ok(body.to_bytes())
}
