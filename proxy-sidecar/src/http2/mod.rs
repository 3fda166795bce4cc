//! HTTP/2, by the crate `h2`: it knows frames, we know what becomes of a request. One task a connection, and one a request.

mod answer;
mod attempt;
mod batch;
mod client;
mod exchange;
mod flow;
mod server;
mod upload;

pub(crate) use client::greet;
pub(crate) use exchange::{Call, exchange};
pub(crate) use server::serve;

/// What one request or response may have on its way before its reader has taken it, in bytes.
const STREAM_WINDOW: u32 = 64 << 10;

/// For so many streams: one that is not read must not keep the others from being read. RFC 9113, section 5.2.
fn connection_window(streams: usize) -> u32 {
    const MOST: u32 = i32::MAX.cast_unsigned();
    let streams = u32::try_from(streams).unwrap_or(MOST);
    streams.saturating_mul(STREAM_WINDOW).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_for_all_streams_is_within_what_the_protocol_allows() {
        for (streams, window) in [
            (1, 65_536),
            (512, 33_554_432),
            (32_768, i32::MAX as u32),
            (1_000_000, i32::MAX as u32),
        ] {
            assert_eq!(connection_window(streams), window, "{streams}");
        }
    }
}
