//! The JSON Schema of a configuration file, from the definitions that it is read with. <https://json-schema.org/draft/2020-12>

use serde_json::{Map, Value as Json, json};

use super::flag::{Count, Flag, Repeat, Section, Shape, Value};

/// The schema of the file of `program`.
pub(crate) fn schema(program: &str, flags: &[Flag], sections: &[Section]) -> Json {
    let mut schema = object(flags, sections);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = program.into();
    schema
}

fn object(flags: &[Flag], sections: &[Section]) -> Json {
    let settings = flags.iter().filter_map(|flag| {
        let value = flag.in_file()?;
        let help = flag.arg.get_help().map(ToString::to_string).unwrap_or_default();
        Some((flag.name().to_owned(), described(values(value), &help)))
    });
    let parts = sections.iter().map(|section| {
        let one = object(&(section.flags)(), &[]);
        let all = match section.repeat {
            Repeat::Once => one,
            Repeat::List => json!({ "type": "array", "items": one }),
            Repeat::Named => json!({ "type": "object", "additionalProperties": one }),
        };
        (section.name.to_owned(), described(all, section.help))
    });
    let properties: Map<String, Json> = settings.chain(parts).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(mut schema: Json, help: &str) -> Json {
    schema["description"] = help.into();
    schema
}

fn values(value: &Value) -> Json {
    let one = shape(value.shape);
    match value.count {
        Count::One => one,
        // One text may hold several, separated by commas.
        Count::Many => {
            let joined = if matches!(value.shape, Shape::Words(_)) {
                shape(Shape::Text)
            } else {
                one.clone()
            };
            json!({ "anyOf": [joined, { "type": "array", "items": one }] })
        }
        Count::Named => json!({ "type": "object", "additionalProperties": one }),
    }
}

fn shape(of: Shape) -> Json {
    match of {
        Shape::Text => json!({ "type": "string" }),
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Integer => json!({ "type": "integer", "minimum": 0 }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Words(words) => json!({ "enum": words() }),
        // YAML 1.1 takes a bare `off` for false.
        Shape::OrOff(inner) => json!({ "anyOf": [shape(*inner), { "enum": ["off", false] }] }),
    }
}
