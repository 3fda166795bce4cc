//! A batch as one message: `[tag, entries, options]`, with fields as documents have them.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmp::encode::{
    write_array_len, write_bool, write_ext_meta, write_f64, write_map_len, write_nil, write_sint, write_str, write_uint,
};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::batch::{Record, text_bytes};
use crate::parse::{Shape, Value, system_time};
use crate::recycle::{Pool, Recycled};
use crate::sink::bodies::gzip;

/// What stands around the text of a record, bytes, about.
const AROUND: usize = 192;
const CHUNK: usize = 16;
/// `EventTime`: seconds and nanoseconds.
const EVENT_TIME: i8 = 0;
const BIN_32: u8 = 0xc6;

#[derive(Debug)]
pub(super) struct Encoder {
    tag: String,
    is_packed: bool,
    shape: Shape,
    /// Of the pod and of the settings: names and values, encoded once.
    common: Vec<u8>,
    common_count: usize,
}

impl Encoder {
    pub(super) fn new(tag: &str, is_packed: bool, shape: &Shape) -> Self {
        let fields = shape.common();
        let mut common = Vec::new();
        for (name, value) in &fields {
            string(&mut common, name);
            string(&mut common, value);
        }
        Self {
            tag: tag.to_owned(),
            is_packed,
            shape: shape.clone(),
            common,
            common_count: fields.len(),
        }
    }

    /// The message, and the chunk that is to be acknowledged: the same for the same records.
    pub(super) fn encode(&self, bodies: &Arc<Pool>, records: &[Record<'_>], read_at: SystemTime) -> (Recycled, String) {
        let text = text_bytes(records);
        let mut entries = bodies.take(text + records.len() * AROUND);
        let mut digest = Sha256::new();
        for record in records {
            let id = record.id();
            digest.update(&id);
            self.entry(&mut entries, record, &id, read_at);
        }
        let chunk = STANDARD.encode(&digest.finalize()[..CHUNK]);
        if self.is_packed {
            entries = gzip(bodies, &entries);
        }
        let mut body = bodies.take(entries.len() + AROUND);
        array(&mut body, 3);
        string(&mut body, &self.tag);
        body.push(BIN_32);
        let length = u32::try_from(entries.len()).expect("a batch is smaller than 4 GiB");
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&entries);
        map(&mut body, if self.is_packed { 3 } else { 2 });
        string(&mut body, "size");
        write_uint(&mut *body, records.len() as u64).expect(MEMORY);
        string(&mut body, "chunk");
        string(&mut body, &chunk);
        if self.is_packed {
            string(&mut body, "compressed");
            string(&mut body, "gzip");
        }
        (body, chunk)
    }

    /// `[time, fields]`.
    fn entry(&self, out: &mut Vec<u8>, record: &Record<'_>, id: &str, read_at: SystemTime) {
        let time = record.time.map_or(read_at, system_time);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        array(out, 2);
        write_ext_meta(out, 8, EVENT_TIME).expect(MEMORY);
        // Until 2106.
        out.extend_from_slice(&u32::try_from(since.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&since.subsec_nanos().to_be_bytes());

        let text = String::from_utf8_lossy(record.text);
        let parsed = self.shape.of(&text, record.time.is_some());
        let (fields, level) = parsed
            .as_ref()
            .map_or((&[][..], None), |parsed| (&parsed.fields[..], parsed.level));
        let message = match &parsed {
            Some(parsed) => parsed.message.as_ref().map(Value::text),
            None => Some((&*text).into()),
        };
        let nest = self.shape.nest.as_ref().filter(|_| parsed.is_some());
        let own = if nest.is_some() { 1 } else { fields.len() };
        map(out, usize::from(message.is_some()) + own + self.common_count + 2);
        if let Some(message) = message {
            string(out, "message");
            string(out, &message);
        }
        if let Some(nest) = nest {
            string(out, nest);
            map(out, fields.len());
        }
        for (name, value) in fields {
            string(out, name);
            field(out, value);
        }
        out.extend_from_slice(&self.common);
        string(out, "log");
        let flag = record.mark.flag();
        map(out, 2 + usize::from(level.is_some()) + usize::from(flag.is_some()));
        string(out, "file");
        map(out, 1);
        string(out, "path");
        string(out, &record.source.path);
        string(out, "offset");
        write_uint(out, record.offset).expect(MEMORY);
        if let Some(level) = level {
            string(out, "level");
            string(out, level.name());
        }
        if let Some(flag) = flag {
            string(out, "flags");
            array(out, 1);
            string(out, flag);
        }
        string(out, "event");
        map(out, 1);
        string(out, "id");
        string(out, id);
    }
}

const MEMORY: &str = "memory can be written to";

fn string(out: &mut Vec<u8>, text: &str) {
    write_str(out, text).expect(MEMORY);
}

fn count(length: usize) -> u32 {
    u32::try_from(length).expect("a record is smaller than 4 GiB")
}

fn array(out: &mut Vec<u8>, length: usize) {
    write_array_len(out, count(length)).expect(MEMORY);
}

fn map(out: &mut Vec<u8>, length: usize) {
    write_map_len(out, count(length)).expect(MEMORY);
}

fn field(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Text(text) => string(out, text),
        Value::Json(json) => match serde_json::from_str(json) {
            Ok(value) => write(out, &value).expect(MEMORY),
            Err(_) => string(out, json),
        },
    }
}

fn write(out: &mut Vec<u8>, value: &Json) -> io::Result<()> {
    match value {
        Json::Null => write_nil(out),
        Json::Bool(flag) => write_bool(out, *flag),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => write_uint(out, number).map(drop).map_err(io::Error::from),
            (None, Some(number)) => write_sint(out, number).map(drop).map_err(io::Error::from),
            (None, None) => write_f64(out, number.as_f64().unwrap_or(f64::NAN)).map_err(io::Error::from),
        },
        Json::String(text) => {
            string(out, text);
            Ok(())
        }
        Json::Array(items) => {
            array(out, items.len());
            items.iter().try_for_each(|item| write(out, item))
        }
        Json::Object(members) => {
            map(out, members.len());
            members.iter().try_for_each(|(name, value)| {
                string(out, name);
                write(out, value)
            })
        }
    }
}
