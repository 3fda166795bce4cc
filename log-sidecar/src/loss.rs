//! What was written and will never be read: told, counted, and sent as a record of its own, so that whoever reads the lines knows it too.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::batch::{Line, Mark, Segment, Source};
use crate::identity::Inode;

/// Bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Loss {
    pub(crate) id: String,
    pub(crate) path: String,
    inode: Inode,
    /// Where they stood.
    pub(crate) from: u64,
    /// At least.
    pub(crate) bytes: u64,
    pub(crate) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// And no copy has it.
    Truncated,
    /// While nobody held it.
    Gone,
}

impl Why {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Truncated => "it was truncated before they were read, and no copy has them",
            Self::Gone => "it was deleted before they were read",
        }
    }
}

impl Loss {
    pub(crate) fn of(source: &Source, from: u64, bytes: u64, why: Why) -> Self {
        Self {
            id: source.id.clone(),
            path: source.path.clone(),
            inode: source.inode,
            from,
            bytes,
            why,
        }
    }

    /// The record that says it, in the place of what is lost.
    pub(crate) fn segment(&self) -> Segment {
        let text = format!(
            "log-sidecar: about {} bytes of this file are lost: {}",
            self.bytes,
            self.why.text()
        );
        Segment {
            // Nothing of the file is settled with it.
            source: Arc::new(Source {
                id: self.id.clone(),
                path: self.path.clone(),
                inode: self.inode,
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
