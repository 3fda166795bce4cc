//! What becomes of lines: which fields are read of them.

use pod_contract::config::Settings;

use crate::parse::{Parser, Shape, is_ours};

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
    let (nest, fields) = (nest?, fields?);
    let names = fields
        .iter()
        .map(|(name, _)| ("field", name))
        .chain(nest.iter().map(|name| ("nest", name)));
    for (setting, name) in names {
        if name.is_empty() || is_ours(name) {
            return s.refuse_together(
                &[setting],
                format!("{name:?} is a name that records have themselves, or none"),
            );
        }
    }
    if let Some(nest) = nest
        .as_ref()
        .filter(|nest| fields.iter().any(|(name, _)| name == *nest))
    {
        return s.refuse_together(&["nest", "field"], format!("{nest:?} cannot be both"));
    }
    Some(Shape {
        parsers,
        rename: rename?,
        remove: remove?,
        numbers: numbers?,
        nest,
        fields,
    })
}
