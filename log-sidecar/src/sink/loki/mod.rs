//! Loki's push API, in protobuf: <https://grafana.com/docs/loki/latest/reference/loki-http-api/#ingest-logs>.
//!
//! Loki keeps two lines of one time and one text once, if it notices. So a time is the same whenever a line is sent, and another for each
//! line: below the millisecond, it is made of the line's place in its file, see [`crate::clock`]. A record that stands for lost lines has none, and may
//! be there twice after a kill.

mod encode;
mod known;

use std::cell::RefCell;
use std::collections::HashSet;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use self::encode::{Encoder, streams, time_of};
pub(super) use self::known::note;
use self::known::{Entry, MAX_ENTRIES, MAX_PAGES, question};
use super::http::{Http, excerpt, refused};
use super::{Answer, Known, Network, Server, Verdict};
use crate::batch::Record;
use crate::parse::{Nanos, Shape};

const PROTOBUF: &str = "application/x-protobuf";

#[derive(Debug)]
pub(crate) struct Loki {
    pub(super) http: Http,
    origin: String,
    url: String,
    /// Where queries go, if that shows in where pushes go.
    queries: Option<String>,
    encoder: Encoder,
    snappy: RefCell<snap::raw::Encoder>,
}

impl Loki {
    pub(crate) fn new(server: &Server, network: Network, shape: &Shape) -> Self {
        Self {
            origin: format!("{}/", server.origin),
            queries: server
                .url()
                .strip_suffix("/push")
                .map(|root| format!("{root}/query_range")),
            url: server.url(),
            encoder: Encoder::new(shape, &network.labels),
            http: Http::new(network),
            snappy: RefCell::new(snap::raw::Encoder::new()),
        }
    }

    pub(crate) async fn greet(&self) -> Result<(), String> {
        self.http.greet(&self.origin).await
    }

    /// Asks for what is there of each file between the first and the last of these times.
    pub(crate) async fn known(&self, records: &[Record<'_>], read_at: SystemTime) -> Option<Known> {
        let queries = self.queries.as_ref()?;
        let mut entries = HashSet::new();
        for (source, records) in streams(records) {
            let labels = String::from_utf8_lossy(&self.encoder.labels_of(source)).into_owned();
            let times = || records.iter().map(|record| time_of(record, read_at));
            let range = (times().min()?, times().max()?);
            if let Err(unknown) = self.ask(queries, &labels, range, &mut entries).await {
                return Some(unknown);
            }
        }
        let is_known =
            |record: &Record<'_>| entries.contains(&(time_of(record, read_at), self.encoder.line_of(record)));
        Some(Known::Each(records.iter().map(is_known).collect()))
    }

    async fn ask(
        &self,
        queries: &str,
        labels: &str,
        (mut first, last): (Nanos, Nanos),
        entries: &mut HashSet<Entry>,
    ) -> Result<(), Known> {
        for _ in 0..MAX_PAGES {
            let url = format!("{queries}{}", question(labels, first, last));
            let answered = self.http.get(&url).await;
            let (status, _, body) = answered.map_err(|unanswered| Known::NotNow(unanswered.why))?;
            let (count, reached) = note(status, &body, entries)?;
            if count < MAX_ENTRIES || reached >= last {
                break;
            }
            // Many may have this time.
            first = reached.max(first + 1);
        }
        Ok(())
    }

    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let mut plain = self.http.bodies.take(self.encoder.size(records));
        self.encoder.write(&mut plain, records, read_at);
        // In snappy's block format, which is all that Loki takes.
        let most = snap::raw::max_compress_len(plain.len());
        let mut body = self.http.bodies.take(most);
        body.resize(most, 0);
        let packed = self.snappy.borrow_mut().compress(&plain, &mut body);
        drop(plain);
        match packed {
            Ok(length) => body.truncate(length),
            Err(error) => {
                let why = error.to_string();
                return Answer::Smaller {
                    why,
                    too_large: true,
                    is_unclear: false,
                };
            }
        }
        match self.http.send(&self.url, PROTOBUF, body).await {
            Ok((status, headers, body)) => judge(status, &headers, &body, records.len()),
            Err(unanswered) => unanswered.into(),
        }
    }
}

fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8], sent: usize) -> Answer {
    let why = format!("status {status}: {}", excerpt(body).trim_end());
    match status.as_u16() {
        // Others such as 260 say that pushes are blocked.
        200 | 204 => Answer::Each(vec![Verdict::Delivered; sent]),
        _ => match refused(status, headers, body, why, &[StatusCode::BAD_REQUEST]) {
            // Some entries are too old, or of a form that is refused, and the others are stored.
            Answer::Smaller {
                why, too_large: false, ..
            } => Answer::Smaller {
                why,
                too_large: false,
                is_unclear: true,
            },
            other => other,
        },
    }
}
