//! The body of a gRPC-Web request as gRPC has it. Text is decoded as it comes: at most three characters wait for the
//! rest of their group.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use thiserror::Error;

use super::Encoding;

/// Characters of base64 that stand for three bytes.
const GROUP: usize = 4;

/// Why a body of gRPC-Web cannot be read. To be refused like any broken body (400, INTERNAL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestFault {
    /// A character or an ending that base64 does not have (RFC 4648, 4).
    #[error("the body is no base64")]
    NotBase64,
    /// The body ended within a group of four characters.
    #[error("the body's base64 is cut short")]
    CutShort,
}

/// Translates one request's body.
#[derive(Debug)]
pub struct RequestTranslator {
    encoding: Encoding,
    held: [u8; GROUP],
    held_length: usize,
}

impl RequestTranslator {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, held: [0; GROUP], held_length: 0 }
    }

    /// The next piece of the body, as far as it can be read; it may be empty. Padding may end any group: clients
    /// encode what they flush piece by piece.
    ///
    /// # Errors
    /// When the piece is no base64. The body cannot be read any further then.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, RequestFault> {
        match self.encoding {
            Encoding::Binary => Ok(piece),
            Encoding::Text => self.decode(&piece).map(Bytes::from),
        }
    }

    /// The body has ended.
    ///
    /// # Errors
    /// When it ended within a group.
    pub fn finish(&self) -> Result<(), RequestFault> {
        if self.held_length == 0 { Ok(()) } else { Err(RequestFault::CutShort) }
    }

    #[cfg(test)]
    pub(super) fn held_characters(&self) -> usize {
        self.held_length
    }

    fn decode(&mut self, piece: &[u8]) -> Result<Vec<u8>, RequestFault> {
        let mut decoded = Vec::with_capacity((self.held_length + piece.len()) / GROUP * 3);
        let rest = self.complete_group(piece, &mut decoded)?;
        let (mut whole, held) = rest.split_at(rest.len() / GROUP * GROUP);
        while !whole.is_empty() {
            let padding = whole.iter().position(|byte| *byte == b'=').unwrap_or(whole.len() - 1);
            let (run, after) = whole.split_at((padding / GROUP + 1) * GROUP);
            decode_run(run, &mut decoded)?;
            whole = after;
        }
        self.held[self.held_length..self.held_length + held.len()].copy_from_slice(held);
        self.held_length += held.len();
        Ok(decoded)
    }

    /// Fills up the group that waits, and gives what is left of the piece: nothing when the group still waits.
    fn complete_group<'p>(
        &mut self,
        piece: &'p [u8],
        decoded: &mut Vec<u8>,
    ) -> Result<&'p [u8], RequestFault> {
        if self.held_length == 0 || self.held_length + piece.len() < GROUP {
            return Ok(piece);
        }
        let (missing, rest) = piece.split_at(GROUP - self.held_length);
        self.held[self.held_length..].copy_from_slice(missing);
        self.held_length = 0;
        decode_run(&self.held, decoded)?;
        Ok(rest)
    }
}

/// Decodes whole groups of which only the last may be padded.
fn decode_run(run: &[u8], decoded: &mut Vec<u8>) -> Result<(), RequestFault> {
    STANDARD.decode_vec(run, decoded).map_err(|_| RequestFault::NotBase64)
}
