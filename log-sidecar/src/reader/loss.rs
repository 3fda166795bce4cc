//! What was written and will never be read: told, counted, and sent as a record of its own, so that whoever reads the lines knows it too.

use std::sync::Arc;

use crate::batch::{Line, Mark, Segment, Source};

/// Bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) source: Arc<Source>,
    /// Where they stood.
    pub(super) from: u64,
    /// At least.
    pub(super) bytes: u64,
    pub(super) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// And no copy has it.
    Truncated,
    /// While nobody held it.
    Gone,
}

impl Why {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Truncated => "it was truncated before they were read, and no copy has them",
            Self::Gone => "it was deleted before they were read",
        }
    }
}

impl Loss {
    /// The record that says it, in the place of what is lost.
    pub(super) fn segment(&self) -> Segment {
        let text = format!(
            "log-sidecar: about {} bytes of this file are lost: {}",
            self.bytes,
            self.why.text()
        );
        Segment {
            // Nothing of the file is settled with it.
            source: Arc::new(Source {
                id: self.source.id.clone(),
                path: self.source.path.clone(),
                inode: self.source.inode,
            }),
            start: self.from,
            end: self.from,
            base: self.from,
            lines: vec![Line::new(0, text.len(), Mark::Gap)],
            data: text.into_bytes().into(),
            times: Vec::new(),
            ticks: Vec::new(),
            may_be_known: false,
        }
    }
}
