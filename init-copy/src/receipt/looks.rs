//! How all that is on a receipt looks now, seen in passing.
//!
//! Taken while the sources are looked into: both are little else than waiting for `stat`, and neither needs the other. Of what is as
//! it was put there no more is kept than that, so that a tree of any size takes little room.

use std::fs::File;
use std::io::Seek as _;
use std::path::Path;

use rustix::fs::FileType;

use super::keeping::Keeping;
use super::look::Look;
use super::read::{Head, Lines, Receipt};
use super::record::{Mark, Record};
use crate::dest::beneath::{Cursor, Root};
use crate::error::Error;

/// What stands in the place of one record.
#[derive(Debug)]
enum Seen {
    /// It looks as the record says.
    AsPut(FileType),
    Nothing,
    Otherwise(Box<Result<Look, Error>>),
    /// Has to be looked at when it is needed.
    Unseen,
}

/// One for each line of a record.
pub(crate) struct Looks {
    file: std::io::Result<Option<File>>,
    seen: Vec<Seen>,
}

impl Looks {
    /// Reads the receipt of `root`, and looks at everything on it.
    pub(crate) fn take(root: &Root, keeping: &Keeping) -> Self {
        let mut looks = Self {
            file: keeping.open(root),
            seen: Vec::new(),
        };
        let Ok(Some(file)) = &looks.file else { return looks };
        // What is wrong with it is told by whoever reads its records.
        let Some(mut lines) = file.try_clone().and_then(Lines::new).ok() else {
            return looks;
        };
        let mut cursor = root.cursor();
        while let Ok(Some(line)) = lines.next() {
            if let Some(head) = Head::of(line) {
                looks.seen.push(Seen::of(&head, &mut cursor));
            }
        }
        looks
    }

    /// The records, from the first one.
    pub(super) fn receipt<'r>(&mut self, root: &'r Root, keeping: &Keeping) -> Receipt<'r> {
        let file = std::mem::replace(&mut self.file, Ok(None));
        let rewound = file.and_then(|file| file.map(|mut file| file.rewind().map(|()| file)).transpose());
        Receipt::of_file(root, keeping, rewound)
    }

    /// What stands in the place of the record in the `number`-th line of a record, counted from 0.
    pub(super) fn take_one(
        &mut self,
        number: usize,
        record: &Record,
        cursor: &mut Cursor<'_>,
    ) -> Result<Option<Look>, Error> {
        let seen = self
            .seen
            .get_mut(number)
            .map(|seen| std::mem::replace(seen, Seen::Unseen));
        match seen {
            Some(Seen::AsPut(kind)) => Ok(Some(Look {
                kind,
                fingerprint: record.at,
            })),
            Some(Seen::Nothing) => Ok(None),
            Some(Seen::Otherwise(look)) => look.map(Some),
            Some(Seen::Unseen) | None => look_at(&record.path, cursor),
        }
    }
}

impl Seen {
    fn of(head: &Head<'_>, cursor: &mut Cursor<'_>) -> Self {
        // Another record tells what stands there.
        if head.mark == Mark::Overlaid {
            return Self::Unseen;
        }
        match look_at(&head.path, cursor) {
            Ok(None) => Self::Nothing,
            Ok(Some(look)) if head.at().is_some_and(|at| at.is(look.fingerprint)) => Self::AsPut(look.kind),
            Ok(Some(look)) => Self::Otherwise(Box::new(Ok(look))),
            Err(error) => Self::Otherwise(Box::new(Err(error))),
        }
    }
}

fn look_at(path: &Path, cursor: &mut Cursor<'_>) -> Result<Option<Look>, Error> {
    cursor.stat(path).map(|stat| stat.as_ref().map(Look::of))
}
