//! PostgreSQL: <https://www.postgresql.org/docs/current/protocol-flow.html>, "Start-up", "SSL Session Encryption" and "GSSAPI Session Encryption",
//! and the formats in <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::io;

use pod_contract::tls::explained;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dial::DialError;
use crate::stream::{Buffer, Reader, Stream};

/// First messages that have a length, a code, and nothing else.
const SSL_REQUEST: [u8; 8] = request(80_877_103);
const GSSENC_REQUEST: [u8; 8] = request(80_877_104);
/// The code of a first message that has no answer.
const CANCEL: [u8; 4] = 80_877_102_u32.to_be_bytes();
/// A client asks for each kind of encryption once.
const MAX_REQUESTS: usize = 2;
/// Of a first message, in bytes with its length: servers take no longer one.
const MAX_FIRST: u32 = 10_004;
/// Of a message before the login, in bytes; a longer one is passed on unseen.
const MAX_MESSAGE: u32 = 64 << 10;

/// Of what a client says before it is asked for its login, in bytes.
const MAX_EARLY: usize = 16 << 10;

const AUTHENTICATION: u8 = b'R';
const ERROR: u8 = b'E';
/// The kind of authentication that has a list of mechanisms.
const SASL: [u8; 4] = 10_u32.to_be_bytes();
const CHANNEL_BINDING: &[u8] = b"-PLUS";

const fn request(code: u32) -> [u8; 8] {
    let [a, b, c, d] = code.to_be_bytes();
    [0, 0, 0, 8, a, b, c, d]
}

/// Asks a server for TLS. Its answer is read and not one byte more, so that whatever somebody puts after it has to be TLS.
pub(super) async fn ask(socket: &mut TcpStream) -> Result<(), DialError> {
    let answer = async {
        socket.write_all(&SSL_REQUEST).await?;
        socket.read_u8().await
    };
    let why = match answer.await {
        Ok(b'S') => return Ok(()),
        Ok(b'N') => {
            "the server has no TLS; remedy: let it have ssl = on, or say tcp:// if nobody else is on the way".into()
        }
        Ok(ERROR) => "the server refuses every connection; see its log".into(),
        Ok(_) => "what answers does not speak PostgreSQL".into(),
        Err(error) => format!("the server does not answer a request for TLS: {error}"),
    };
    Err(DialError::Handshake(why))
}

/// Reads the first message of a client into `input`, and declines what it asks before: on loopback nothing is encrypted. False when the
/// client leaves, insists, or says something else.
pub(crate) async fn greet(client: &mut Stream, input: &mut Buffer) -> io::Result<bool> {
    let (mut reader, mut writer) = client.split();
    for _ in 0..=MAX_REQUESTS {
        loop {
            match first(input.filled()) {
                First::Whole => break,
                First::Other => return Ok(false),
                First::Part if input.fill(&mut reader).await? == 0 => return Ok(false),
                First::Part => {}
            }
        }
        if ![SSL_REQUEST, GSSENC_REQUEST]
            .iter()
            .any(|request| input.filled().starts_with(request))
        {
            return Ok(true);
        }
        input.consume(SSL_REQUEST.len());
        writer.write_all(b"N").await?;
        writer.flush().await?;
    }
    Ok(false)
}

#[derive(Debug, PartialEq, Eq)]
enum First {
    Whole,
    Part,
    Other,
}

/// How far the first message has come. It has a length and a code, but no type.
fn first(bytes: &[u8]) -> First {
    let Some(length) = bytes.first_chunk() else {
        // What is no message but TLS, or text, has another byte here.
        return if bytes.first().is_none_or(|byte| *byte == 0) {
            First::Part
        } else {
            First::Other
        };
    };
    match u32::from_be_bytes(*length) {
        length @ 8..=MAX_FIRST if length as usize <= bytes.len() => First::Whole,
        8..=MAX_FIRST => First::Part,
        _ => First::Other,
    }
}

/// Why a connection did not begin.
#[derive(Debug)]
pub(crate) enum Unbegun {
    /// The client has left.
    Client,
    /// The server has, before it said anything.
    Server(String),
    /// The server is not to be used any more.
    Unfit,
}

/// Passes `early`, the client's first message, on, and the answer back as far as the request for a login. That leaves out channel binding:
/// what it binds to is a TLS that the client does not have, and a client would take the offer for an attack. What comes after it stays in
/// `answer`, and what the client says meanwhile in `early`.
pub(crate) async fn begin(
    client: &mut Stream,
    server: &mut Stream,
    early: &mut Buffer,
    answer: &mut Buffer,
) -> Result<(), Unbegun> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let cancels = early.filled().get(4..8) == Some(&CANCEL);
    let sent = async {
        to_server.write_all(early.filled()).await?;
        to_server.flush().await
    };
    sent.await.map_err(|error| unbegun(&error))?;
    early.consume(early.filled().len());
    if cancels {
        return Ok(());
    }
    let mut is_silent = true;
    loop {
        let length = tokio::select! {
            length = message(&mut from_server, answer) => match length {
                Ok(Some(length)) => length,
                Err(error) if is_silent => return Err(unbegun(&error)),
                Ok(None) if is_silent && answer.is_empty() => return Err(Unbegun::Server("it closed the connection".into())),
                // A tunnel tells what is wrong by how it ends.
                Ok(None) | Err(_) => break,
            },
            () = ended(&mut from_client, early) => return Err(Unbegun::Client),
        };
        is_silent = false;
        let message = &answer.filled()[..length];
        let kind = message[0];
        let passed = to_client.write_all(&without_channel_binding(message)).await;
        passed.map_err(|_| Unbegun::Client)?;
        answer.consume(length);
        if matches!(kind, AUTHENTICATION | ERROR) {
            break;
        }
    }
    to_client.flush().await.map_err(|_| Unbegun::Client)
}

fn unbegun(error: &io::Error) -> Unbegun {
    Unbegun::Server(explained(error).unwrap_or_else(|| error.to_string()))
}

/// Waits until the client has left: it does not end its direction and go on listening. What it says meanwhile is kept.
async fn ended(client: &mut Reader<'_>, early: &mut Buffer) {
    while matches!(early.fill(client).await, Ok(count) if count > 0) {
        if early.filled().len() >= MAX_EARLY {
            std::future::pending::<()>().await;
        }
    }
}

/// Reads until a message has come; its length with its type. `None` if there is none, or a very long one.
async fn message(server: &mut Reader<'_>, answer: &mut Buffer) -> io::Result<Option<usize>> {
    loop {
        if let Some([_, length @ ..]) = answer.filled().first_chunk::<5>() {
            match u32::from_be_bytes(*length) {
                length @ 4..=MAX_MESSAGE if (length as usize) < answer.filled().len() => {
                    return Ok(Some(length as usize + 1));
                }
                4..=MAX_MESSAGE => {}
                _ => return Ok(None),
            }
        }
        if answer.fill(server).await? == 0 {
            return Ok(None);
        }
    }
}

/// A list of mechanisms without those of channel binding, if there are others; any other message as it is.
fn without_channel_binding(message: &[u8]) -> Vec<u8> {
    let (head, body) = message.split_at(5);
    let Some(list) = body.strip_prefix(&SASL).filter(|_| head[0] == AUTHENTICATION) else {
        return message.to_vec();
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let left: Vec<_> = names.filter(|name| !name.ends_with(CHANNEL_BINDING)).collect();
    if left.is_empty() {
        return message.to_vec();
    }
    let list = [&left.join(&0)[..], &[0, 0]].concat();
    framed(AUTHENTICATION, &[&SASL[..], &list].concat())
}

/// A fatal error as a server would tell it. What a client that only cancels would not read does no harm.
pub(crate) fn refusal(why: &str) -> Vec<u8> {
    let mut fields = Vec::new();
    // Severity, the same untranslated, connection_failure, and the text.
    for (kind, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', "08006"), (b'M', why)] {
        fields.push(kind);
        fields.extend(value.bytes().filter(|byte| *byte != 0));
        fields.push(0);
    }
    fields.push(0);
    framed(ERROR, &fields)
}

/// A message: its type, its length without that, its body.
fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&[kind][..], &length.to_be_bytes(), body].concat()
}

/// Whatever comes first has an end within what came; whatever a server offers is one message, and stays as it is once it is without channel
/// binding.
pub(crate) fn fuzz(data: &[u8]) {
    if first(data) == First::Whole {
        let length = data.first_chunk().map(|length| u32::from_be_bytes(*length) as usize);
        assert!(length.is_some_and(|length| (8..=data.len()).contains(&length)));
    }
    let Some((kind, body)) = data.split_first() else {
        return;
    };
    let once = without_channel_binding(&framed(*kind, body));
    let length = once[1..]
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length) as usize);
    assert_eq!((once[0], length), (*kind, Some(once.len() - 1)));
    assert_eq!(without_channel_binding(&once), once);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_length_that_it_says() {
        let refusal = refusal("nobody is\0 there");
        assert_eq!((refusal[0], refusal.len()), (ERROR, refusal[4] as usize + 1));
        assert!(refusal.ends_with(b"C08006\0Mnobody is there\0\0"));
    }

    #[test]
    fn channel_binding_is_left_out_where_there_is_another_way() {
        let list = |names: &str| framed(AUTHENTICATION, &[&SASL[..], names.as_bytes()].concat());
        assert_eq!(
            without_channel_binding(&list("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")),
            list("SCRAM-SHA-256\0\0")
        );
        for whole in [
            list("SCRAM-SHA-256\0\0"),
            list("SCRAM-SHA-256-PLUS\0\0"),
            framed(AUTHENTICATION, &[0, 0, 0, 0]),
            framed(ERROR, b"\0\0\0\x0aA-PLUS\0B\0\0"),
        ] {
            assert_eq!(without_channel_binding(&whole), whole);
        }
    }

    #[test]
    fn a_first_message_is_known_by_its_length() {
        assert_eq!(first(b""), First::Part);
        assert_eq!(first(b"\0\0"), First::Part);
        assert_eq!(first(&SSL_REQUEST[..7]), First::Part);
        assert_eq!(first(&SSL_REQUEST), First::Whole);
        assert_eq!(first(&10_004_u32.to_be_bytes()), First::Part);
        assert_eq!(first(&10_005_u32.to_be_bytes()), First::Other);
        assert_eq!(first(&7_u32.to_be_bytes()), First::Other);
        assert_eq!(first(b"\x16\x03\x01"), First::Other);
        assert_eq!(first(b"GET / HTTP/1.1"), First::Other);
    }
}
