//! What becomes of lines: which fields are read of them.

use pod_contract::config::Settings;

use crate::parse::{Parser, Shape};

/// The settings that do something only where lines are read.
const OF_FIELDS: [&str; 4] = ["rename", "remove", "number", "nest"];

pub(super) fn prove(s: &mut Settings<'_>) -> Option<Shape> {
    let parsers = s.values::<Parser>("parse");
    let rename = s.map::<String>("rename");
    let remove = s.list::<String>("remove");
    let numbers = s.list::<String>("number");
    let nest = s.optional::<String>("nest");
    let fields = s.map::<String>("field");
    let parsers = parsers?;
    if parsers.is_empty() {
        for name in OF_FIELDS {
            s.pointless(name, "no fields are read of lines; give --parse");
        }
    }
    Some(Shape {
        parsers,
        rename: rename?,
        remove: remove?,
        numbers: numbers?,
        nest: nest?,
        fields: fields?,
    })
}
