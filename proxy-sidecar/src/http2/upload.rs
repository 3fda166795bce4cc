//! A request's body on its way out, through all its tries: what one try has read of it, the next one does not find with the client.

use std::cell::Cell;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use http::HeaderMap;

use super::flow;
use crate::deadline::Activity;
use crate::exchange::KEPT;
use crate::message::http2::trailers;

/// What is left of the client's body, and what was read of it.
#[derive(Debug)]
pub(super) struct Upload {
    body: RecvStream,
    /// To be sent again, if all of it is there. A copy: a part of what the codec has read would hold all of that.
    kept: Vec<u8>,
    keeps: bool,
    trailers: Option<HeaderMap>,
    is_read: bool,
    /// Read of the client, and not yet acknowledged to it, in bytes.
    unacknowledged: usize,
}

/// Why a body did not come through.
#[derive(Debug)]
pub(super) enum Broken {
    /// The client has left, or what it sends is malformed.
    Client,
    /// The endpoint takes no more of it; its answer may be on the way.
    Endpoint,
}

impl Upload {
    pub(super) fn new(body: RecvStream) -> Self {
        Self {
            is_read: body.is_end_stream(),
            body,
            kept: Vec::new(),
            keeps: true,
            trailers: None,
            unacknowledged: 0,
        }
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        self.is_read && self.kept.is_empty() && self.trailers.is_none()
    }

    /// All that was sent can be sent again.
    pub(super) fn can_repeat(&self) -> bool {
        self.keeps
    }

    /// It will not be sent again.
    fn forget(&mut self) {
        self.keeps = false;
        self.kept = Vec::new();
    }

    /// Sends all of it. Nothing is kept any more once the response has `begun`.
    pub(super) async fn copy(
        &mut self,
        to: &mut SendStream<Bytes>,
        activity: &Activity,
        begun: &Cell<bool>,
    ) -> Result<(), Broken> {
        if !self.kept.is_empty() {
            let again = Bytes::copy_from_slice(&self.kept);
            let ends = self.is_read && self.trailers.is_none();
            flow::send(again, ends, to).await.map_err(|_| Broken::Endpoint)?;
        }
        self.acknowledge();
        while !self.is_read {
            if begun.get() {
                self.forget();
            }
            activity.await_input(true);
            let data = self.body.data().await;
            activity.await_input(false);
            match data {
                Some(Ok(data)) => {
                    self.is_read = self.body.is_end_stream();
                    self.unacknowledged += data.len();
                    self.keep(&data);
                    flow::send(data, self.is_read, to).await.map_err(|_| Broken::Endpoint)?;
                    self.acknowledge();
                }
                Some(Err(_)) => return Err(Broken::Client),
                None => {
                    self.trailers = self.body.trailers().await.map_err(|_| Broken::Client)?.map(trailers);
                    self.is_read = true;
                    if self.trailers.is_none() {
                        to.send_data(Bytes::new(), true).map_err(|_| Broken::Endpoint)?;
                    }
                }
            }
            activity.mark();
        }
        if let Some(trailers) = &self.trailers {
            to.send_trailers(trailers.clone()).map_err(|_| Broken::Endpoint)?;
        }
        Ok(())
    }

    fn keep(&mut self, data: &Bytes) {
        if self.kept.len() + data.len() > KEPT {
            self.forget();
        } else if self.keeps {
            self.kept.extend_from_slice(data);
        }
    }

    /// The client may send as much again.
    fn acknowledge(&mut self) {
        let size = std::mem::take(&mut self.unacknowledged);
        // It has left; the next read tells.
        drop(self.body.flow_control().release_capacity(size));
    }
}
