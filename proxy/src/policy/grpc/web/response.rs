//! The body of a gRPC answer as gRPC-Web has it: the frames as they come, and the trailers as one last frame.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::HeaderMap;

use super::{Encoding, GRPC_STATUS};

/// The first byte of a frame that holds trailers, not compressed.
const TRAILERS_FRAME: u8 = 0x80;
/// The outcome of a call whose service named none: UNKNOWN, as gRPC's table has it for a 200 without `grpc-status`.
/// Some clients would take a body that just ends for success.
const NO_OUTCOME: &[u8] = b"grpc-status: 2\r\ngrpc-message: the service ended the call without a status\r\n";

/// Translates one answer's body.
#[derive(Debug)]
pub struct ResponseTranslator {
    encoding: Encoding,
    outcome_in_head: bool,
}

impl ResponseTranslator {
    pub(super) fn new(encoding: Encoding, outcome_in_head: bool) -> Self {
        Self { encoding, outcome_in_head }
    }

    /// A piece of the body. In text each piece is encoded for itself and padded, so that no byte of a message waits
    /// for the next.
    pub fn data(&mut self, piece: Bytes) -> Bytes {
        match self.encoding {
            Encoding::Binary => piece,
            Encoding::Text => STANDARD.encode(piece).into(),
        }
    }

    /// The last piece, once the answer has ended in good order, with its trailers if it had any. An answer that broke
    /// off must not be ended with this but with an error of the connection. Empty when the outcome was in the head
    /// and there are no trailers.
    pub fn trailers(&mut self, trailers: Option<&HeaderMap>) -> Bytes {
        if self.outcome_in_head && trailers.is_none_or(HeaderMap::is_empty) {
            return Bytes::new();
        }
        let mut block = BytesMut::new();
        for (name, value) in trailers.into_iter().flatten() {
            block.put_slice(name.as_str().as_bytes());
            block.put_slice(b": ");
            block.put_slice(value.as_bytes());
            block.put_slice(b"\r\n");
        }
        let has_outcome = trailers.is_some_and(|trailers| trailers.contains_key(GRPC_STATUS));
        if !has_outcome && !self.outcome_in_head {
            block.put_slice(NO_OUTCOME);
        }
        self.data(frame(&block))
    }
}

/// A frame of trailers. Trailers are limited to kilobytes long before they come here; were it otherwise, a length
/// that is too small would be read as trailing garbage, never as more than there is.
fn frame(block: &[u8]) -> Bytes {
    let length = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(5 + block.len());
    frame.put_u8(TRAILERS_FRAME);
    frame.put_u32(length);
    frame.put_slice(block);
    frame.freeze()
}
