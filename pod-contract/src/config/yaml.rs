//! A YAML document as a tree that remembers where each node stands.
//!
//! Only what a configuration needs: scalars, lists, maps with text keys. Aliases are refused, so a small file cannot unfold into a large tree.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use granit_parser::{Event, Marker, Parser};

use super::{Origin, Problem};

/// A file larger than this is no configuration, bytes.
pub(super) const MAX_BYTES: u64 = 1 << 20;
/// Deeper nesting is no configuration, levels.
const MAX_DEPTH: usize = 16;

/// Line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// The entries of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Problem> {
    let fail = |message: String| Problem {
        origins: vec![Origin::Flag("--config".into())],
        message,
    };
    let mut text = String::new();
    let limited = File::open(path).map(|file| file.take(MAX_BYTES + 1));
    limited
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|e| fail(format!("cannot read {}: {e}", path.display())))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(fail(format!(
            "{} has more than {} bytes, which is no configuration",
            path.display(),
            MAX_BYTES
        )));
    }
    parse(path, &text)
}

/// The entries of the document's top-level map; an empty document has none.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, Problem> {
    let fail = |place: Place, message: String| Problem {
        origins: vec![Origin::File {
            path: path.to_owned(),
            line: place.line,
            column: place.column,
            key: String::new(),
        }],
        message,
    };
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        done: false,
    };
    let root = builder.document().map_err(|(place, message)| fail(place, message))?;
    match root {
        None | Some(Node { value: Value::Null, .. }) => Ok(Vec::new()),
        Some(Node {
            value: Value::Map(entries),
            ..
        }) => Ok(entries),
        Some(node) => Err(fail(node.place, "the document is not a map of settings".into())),
    }
}

type Fault = (Place, String);

struct Builder<'i> {
    parser: Parser<'i, granit_parser::StrInput<'i>>,
    done: bool,
}

impl<'i> Builder<'i> {
    fn next(&mut self) -> Result<(Event<'i>, Place), Fault> {
        match self.parser.next() {
            Some(Ok((event, span))) => Ok((event, place(&span.start))),
            Some(Err(e)) => Err((place(e.marker()), e.info())),
            None => Ok((Event::StreamEnd, Place { line: 1, column: 1 })),
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Fault> {
        let mut root = None;
        loop {
            let (event, place) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if self.done => return Err((place, "a second document is not read".into())),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                first => {
                    self.done = true;
                    root = Some(self.node(first, place, 0)?);
                }
            }
        }
    }

    fn node(&mut self, event: Event<'i>, place: Place, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err((place, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let value = match event {
            Event::Scalar(text, style, ..) if style == granit_parser::ScalarStyle::Plain && is_null(&text) => {
                Value::Null
            }
            Event::Scalar(text, ..) => Value::Scalar(text.into_owned()),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::List(items),
                        (item, place) => items.push(self.node(item, place, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(..) => return Err((place, "aliases are not read; write the value out".into())),
            other => return Err((place, format!("unexpected {other:?}"))),
        };
        Ok(Node { place, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Fault> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, place) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(key, ..), place) => (key.into_owned(), place),
                (_, place) => return Err((place, "a key has to be a text".into())),
            };
            if let Some(first) = entries.iter().find(|e| e.key == key) {
                return Err((
                    place,
                    format!("{key:?} is set twice, first in line {}", first.place.line),
                ));
            }
            let (value, value_place) = self.next()?;
            let node = self.node(value, value_place, depth + 1)?;
            entries.push(Entry { key, place, node });
        }
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        parse(Path::new("f.yaml"), text).unwrap_err().to_string()
    }

    #[test]
    fn nodes_know_their_place() {
        let entries = parse(Path::new("f"), "a: 1\nb:\n  - x\n  - {c: ~}\n").unwrap();
        assert_eq!(entries[1].place, Place { line: 2, column: 1 });
        let Value::List(items) = &entries[1].node.value else {
            panic!()
        };
        assert_eq!(items[0].place, Place { line: 3, column: 5 });
        let Value::Map(inner) = &items[1].value else { panic!() };
        assert!(matches!(inner[0].node.value, Value::Null));
    }

    #[test]
    fn an_empty_document_has_no_settings() {
        assert!(parse(Path::new("f"), "").unwrap().is_empty());
        assert!(parse(Path::new("f"), "# only a comment\n").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_its_place() {
        assert_eq!(fault("a: 1\na: 2\n"), "f.yaml:2:1: \"a\" is set twice, first in line 1");
        assert!(fault("- a\n").starts_with("f.yaml:1:1: the document is not a map"));
        assert!(fault("a: &x 1\nb: *x\n").starts_with("f.yaml:2:4: aliases"));
        assert!(fault("a: 1\n---\nb: 1\n").contains("second document"));
        assert!(fault("a: [1\n").starts_with("f.yaml:"));
        assert!(fault("? [a]\n: 1\n").contains("a key has to be a text"));
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |levels: usize| format!("a: {}{}", "[".repeat(levels), "]".repeat(levels));
        parse(Path::new("f"), &nested(MAX_DEPTH)).unwrap();
        assert!(fault(&nested(MAX_DEPTH + 1)).contains("nested deeper"));
    }
}
