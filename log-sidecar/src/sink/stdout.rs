//! NDJSON on standard output, for whatever collects the container's own log.

use std::io::{self, Write as _};
use std::time::SystemTime;

use super::document::Encoder;
use super::{Answer, Verdict};
use crate::batch::Record;
use crate::parse::Shape;

#[derive(Debug)]
pub(crate) struct Stdout {
    encoder: Encoder,
}

impl Stdout {
    pub(crate) fn new(shape: &Shape) -> Self {
        Self {
            encoder: Encoder::new(shape),
        }
    }

    /// A slow reader of the pipe blocks a thread of the blocking pool, not the runtime.
    pub(crate) async fn send(&self, records: &[Record<'_>], read_at: SystemTime) -> Answer {
        let mut out = Vec::new();
        let mut documents = self.encoder.documents(read_at);
        for record in records {
            documents.add(&mut out, record);
        }
        let written = tokio::task::spawn_blocking(move || {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&out).and_then(|()| stdout.flush())
        });
        match written.await {
            Ok(Ok(())) => Answer::Each(vec![Verdict::Delivered; records.len()]),
            Ok(Err(e)) => Answer::Later {
                why: format!("cannot write to stdout: {e}"),
                after: None,
                is_unclear: true,
            },
            Err(e) => Answer::Later {
                why: e.to_string(),
                after: None,
                is_unclear: true,
            },
        }
    }
}
