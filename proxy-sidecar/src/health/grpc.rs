//! What an endpoint says of itself by `grpc.health.v1`. Source: the document "GRPC Health Checking Protocol" of the gRPC project, and the
//! encoding of Protocol Buffers.

use bytes::Bytes;
use h2::RecvStream;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, Method, Request, StatusCode};

use crate::grpc::{CODES, STATUS};
use crate::http2;
use crate::policy::health::Said;
use crate::stream::Stream;

/// Of the answer, in bytes; it has one number.
const MAX_ANSWER: usize = 1 << 10;
/// No compression.
const PLAIN: u8 = 0;
/// The first field of a message, which has bytes, or a number.
const FIRST_BYTES: u8 = 1 << 3 | 2;
const FIRST_NUMBER: u8 = 1 << 3;
/// What that number says.
const STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: usize = 1;

/// Asks for `service`; empty is the whole server. `authority` is what the endpoint is called.
pub(super) async fn check(stream: Stream, service: &str, authority: &str, is_secure: bool) -> Said {
    match answer(stream, service, authority, is_secure).await {
        Ok(said) => said,
        Err(error) => Said::Nothing(format!("what answers does not speak HTTP/2: {error}")),
    }
}

async fn answer(stream: Stream, service: &str, authority: &str, is_secure: bool) -> Result<Said, h2::Error> {
    let scheme = if is_secure { "https" } else { "http" };
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{authority}/grpc.health.v1.Health/Check"))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .body(());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Ok(Said::Nothing(error.to_string())),
    };
    let mut connection = http2::greet(stream, 1).await?;
    let (response, mut body) = connection.send_request(request, false)?;
    body.send_data(question(service), true)?;
    let (head, body) = response.await?.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Said::Unfit(format!("it answers {}", head.status.as_u16())));
    }
    let (message, trailers) = read(body).await?;
    Ok(understood(&message, trailers.as_ref().unwrap_or(&head.headers)))
}

/// One message with one field.
fn question(service: &str) -> Bytes {
    let mut message = Vec::new();
    if let Ok(length @ 1..) = u8::try_from(service.len()) {
        message.extend([FIRST_BYTES, length]);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![PLAIN];
    framed.extend((message.len() as u32).to_be_bytes());
    framed.append(&mut message);
    framed.into()
}

async fn read(mut body: RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        if message.len() < MAX_ANSWER {
            message.extend_from_slice(&data);
        }
        body.flow_control().release_capacity(data.len())?;
    }
    Ok((message, body.trailers().await?))
}

fn understood(message: &[u8], fields: &HeaderMap) -> Said {
    let code = fields
        .get(STATUS)
        .and_then(|code| code.to_str().ok()?.parse::<usize>().ok());
    match code {
        Some(0) => {}
        Some(code) => {
            return Said::Unfit(format!(
                "its health service answers {}",
                CODES.get(code).unwrap_or(&"an unknown code")
            ));
        }
        None => return Said::Nothing("what answers does not speak gRPC".into()),
    }
    // A number that is 0 is left out.
    let state = match message {
        [PLAIN, _, _, _, _, FIRST_NUMBER, state, ..] => usize::from(*state),
        _ => 0,
    };
    if state == SERVING {
        Said::Fit
    } else {
        Said::Unfit(format!("it says {}", STATES.get(state).unwrap_or(&"an unknown state")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_message_with_a_name() {
        assert_eq!(question("")[..], *b"\0\0\0\0\0");
        assert_eq!(question("a.B")[..], *b"\0\0\0\0\x05\x0a\x03a.B");
    }

    #[test]
    fn only_serving_is_a_yes() {
        let said = |code: &'static str, message: &[u8]| {
            let fields = [(STATUS, code.parse().unwrap())].into_iter().collect();
            match understood(message, &fields) {
                Said::Fit => "fit".to_owned(),
                Said::Unfit(why) | Said::Nothing(why) => why,
            }
        };
        assert_eq!(said("0", b"\0\0\0\0\x02\x08\x01"), "fit");
        assert_eq!(said("0", b"\0\0\0\0\x02\x08\x02"), "it says NOT_SERVING");
        assert_eq!(said("0", b"\0\0\0\0\0"), "it says UNKNOWN");
        assert_eq!(said("0", b"\0\0\0\0\x02\x08\x09"), "it says an unknown state");
        assert_eq!(said("12", b""), "its health service answers unimplemented");
        assert_eq!(said("99", b""), "its health service answers an unknown code");
        assert!(matches!(understood(b"", &HeaderMap::new()), Said::Nothing(_)));
    }
}
