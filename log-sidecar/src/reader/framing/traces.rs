//! How the stack traces of languages go on, line by line.

use super::multiline::Join;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Java,
    Python,
    Go,
    Ruby,
    Node,
    Dotnet,
    Rust,
}

impl Language {
    pub(super) const NAMES: [(&'static str, Self); 7] = [
        ("java", Self::Java),
        ("python", Self::Python),
        ("go", Self::Go),
        ("ruby", Self::Ruby),
        ("node", Self::Node),
        ("dotnet", Self::Dotnet),
        ("rust", Self::Rust),
    ];
}

/// How far a record has come in a trace of each language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// No trace.
    #[default]
    Calm,
    /// Its first line, or one that announces it.
    Head,
    /// Among its frames.
    Frames,
    /// After what it ends with, if nothing led to it.
    End,
    /// Before another one that it led to.
    Between,
}

/// The phases of one record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    phases: [Phase; Language::NAMES.len()],
}

impl State {
    /// After the first line of a record.
    pub(super) fn begin(rules: &[Join], line: &[u8]) -> Self {
        let mut state = Self::default();
        for rule in rules {
            if let Join::Trace(language) = rule {
                state.phases[*language as usize] = begin(*language, line);
            }
        }
        state
    }

    /// Does `line` belong to the record?
    pub(super) fn continues(&mut self, language: Language, line: &[u8]) -> bool {
        let phase = &mut self.phases[language as usize];
        let next = match language {
            Language::Java => java(*phase, line),
            Language::Python => python(*phase, line),
            Language::Go => go(*phase, line),
            Language::Ruby => ruby(*phase, line),
            Language::Node => node(*phase, line),
            Language::Dotnet => dotnet(line),
            Language::Rust => rust(*phase, line),
        };
        next.is_some_and(|next| {
            *phase = next;
            true
        })
    }
}

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

fn begin(language: Language, line: &[u8]) -> Phase {
    let is_head = match language {
        Language::Java => is_java_exception(line) || line.starts_with(b"Exception in thread "),
        Language::Python => line.trim_ascii_start().starts_with(TRACEBACK),
        Language::Go => {
            let heads = [b"panic: ".as_slice(), b"fatal error: ", b"goroutine "];
            heads.iter().any(|head| line.starts_with(head)) || has(line, b"http: panic serving")
        }
        Language::Ruby => has(line, b":in `") || has(line, b":in '"),
        Language::Node => is_js_error(line) || is_js_place(line),
        Language::Dotnet => false,
        Language::Rust => line.starts_with(b"thread '") && has(line, b"panicked at"),
    };
    match (language, is_head) {
        (_, false) => Phase::Calm,
        // The message follows on a line of its own.
        (Language::Rust, true) if !line.ends_with(b":") => Phase::Frames,
        (Language::Node, true) if is_js_error(line) => Phase::Frames,
        (Language::Python, true) => Phase::Frames,
        (_, true) => Phase::Head,
    }
}

fn java(phase: Phase, line: &[u8]) -> Option<Phase> {
    let text = line.trim_ascii_start();
    let is_indented = text.len() < line.len();
    let frames = [b"at ".as_slice(), b"... ", b"- locked ", b"- waiting ", b"- parking "];
    if is_indented && frames.iter().any(|frame| text.starts_with(frame)) {
        return Some(Phase::Frames);
    }
    let causes = [b"Caused by: ".as_slice(), b"Suppressed: ", b"nested exception is:"];
    if causes.iter().any(|cause| text.starts_with(cause)) {
        return Some(Phase::Head);
    }
    match phase {
        // What was logged comes before the exception that it is about.
        Phase::Calm if is_java_exception(line) => Some(Phase::Head),
        // More of its message.
        Phase::Head if is_indented => Some(Phase::Head),
        _ => None,
    }
}

/// `org.example.SomeException`, alone or with a message.
fn is_java_exception(line: &[u8]) -> bool {
    let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
    let is_name = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"._$".contains(byte));
    let class = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    let kinds = [b"Exception".as_slice(), b"Error", b"Throwable"];
    is_name && class.len() < name.len() && kinds.iter().any(|kind| class.ends_with(kind))
}

fn python(phase: Phase, line: &[u8]) -> Option<Phase> {
    let may_begin = matches!(phase, Phase::Calm | Phase::Between | Phase::Frames);
    if may_begin && line.trim_ascii_start().starts_with(TRACEBACK) {
        return Some(Phase::Frames);
    }
    let is_indented = line.first().is_some_and(u8::is_ascii_whitespace);
    let led = [
        b"During handling of the above exception".as_slice(),
        b"The above exception was the direct cause",
    ];
    match phase {
        Phase::Frames if is_indented => Some(Phase::Frames),
        Phase::Frames if !line.is_empty() => Some(Phase::End),
        Phase::End | Phase::Between if line.is_empty() => Some(Phase::Between),
        Phase::Between if led.iter().any(|text| line.starts_with(text)) => Some(Phase::Between),
        _ => None,
    }
}

fn go(phase: Phase, line: &[u8]) -> Option<Phase> {
    let heads = [
        b"goroutine ".as_slice(),
        b"created by ",
        b"[signal ",
        b"exit status ",
        b"runtime: ",
        b"runtime stack:",
        b"panic: ",
        b"\t",
    ];
    let is_call = line.ends_with(b")") && line.iter().position(|&byte| byte == b'(') > Some(0) && {
        let name = line.split(|&byte| byte == b'(').next().unwrap_or_default();
        !name.contains(&b' ')
    };
    let belongs =
        line.is_empty() || is_call || heads.iter().any(|head| line.starts_with(head)) || has(line, b"frames elided");
    (phase != Phase::Calm && belongs).then_some(Phase::Frames)
}

fn ruby(phase: Phase, line: &[u8]) -> Option<Phase> {
    let text = line.trim_ascii_start();
    let is_indented = text.len() < line.len();
    if is_indented && text.starts_with(b"from ") {
        return Some(Phase::Frames);
    }
    (phase == Phase::Head && (is_indented || line.is_empty())).then_some(Phase::Head)
}

fn node(phase: Phase, line: &[u8]) -> Option<Phase> {
    let text = line.trim_ascii_start();
    let is_indented = text.len() < line.len();
    match phase {
        // Where it was thrown, then the error.
        Phase::Head if is_js_error(line) => Some(Phase::Frames),
        Phase::Head if is_indented || line.is_empty() => Some(Phase::Head),
        Phase::Frames if is_indented || line == b"}" => Some(Phase::Frames),
        Phase::Frames if line.is_empty() => Some(Phase::End),
        Phase::End if line.starts_with(b"Node.js v") => Some(Phase::Calm),
        _ if is_indented && text.starts_with(b"at ") => Some(Phase::Frames),
        _ => None,
    }
}

/// `TypeError: …`, also of a class of one's own.
fn is_js_error(line: &[u8]) -> bool {
    let name = line.split(|&byte| b": [".contains(&byte)).next().unwrap_or_default();
    let name = if name == b"Uncaught" {
        line[name.len()..].trim_ascii_start()
    } else {
        name
    };
    let name = name.split(|&byte| byte == b':').next().unwrap_or_default();
    name.ends_with(b"Error") && name.iter().all(u8::is_ascii_alphanumeric)
}

/// `/app/index.js:12`.
fn is_js_place(line: &[u8]) -> bool {
    let (name, number) = match line.iter().rposition(|&byte| byte == b':') {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => return false,
    };
    let starts = [b"/".as_slice(), b"file:", b"node:"];
    !number.is_empty() && number.iter().all(u8::is_ascii_digit) && starts.iter().any(|start| name.starts_with(start))
}

fn dotnet(line: &[u8]) -> Option<Phase> {
    let text = line.trim_ascii_start();
    let is_indented = text.len() < line.len();
    let frames = [b"at ".as_slice(), b"---> ", b"--- End of "];
    let is_frame = is_indented && frames.iter().any(|frame| text.starts_with(frame));
    (is_frame || line.starts_with(b"--- End of ")).then_some(Phase::Frames)
}

fn rust(phase: Phase, line: &[u8]) -> Option<Phase> {
    let is_indented = line.first().is_some_and(u8::is_ascii_whitespace);
    match phase {
        Phase::Head => Some(Phase::Frames),
        Phase::Frames if is_indented || line.starts_with(b"note: ") || line.starts_with(b"stack backtrace:") => {
            Some(Phase::Frames)
        }
        _ => None,
    }
}

fn has(line: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(line, part).is_some()
}
