//! Ids as lower-case hexadecimal digits: read strictly, written without an allocation.

use std::fmt;
use std::ops::Deref;

/// An id as text, held in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HexId {
    digits: [u8; 32],
    start: usize,
}

impl HexId {
    pub(super) fn trace(id: u128, wide: bool) -> Self {
        let mut digits = [0; 32];
        write(&mut digits, id);
        Self { digits, start: if wide { 0 } else { 16 } }
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}

impl Deref for HexId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for HexId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.as_str())
    }
}

impl fmt::Debug for HexId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

/// Reads up to 32 lower-case hexadecimal digits; `None` for anything else, upper case included.
pub(super) fn read(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0_u128, |id, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(id << 4 | u128::from(value))
    })
}

/// Reads an id of exactly 16 digits that isn't zero.
pub(super) fn read_span_id(digits: &[u8]) -> Option<u64> {
    if digits.len() != 16 {
        return None;
    }
    read(digits).and_then(|id| u64::try_from(id).ok()).filter(|id| *id != 0)
}

/// Writes the low digits of `id` over the whole of `target`: eight at a time, 32 at most.
pub(super) fn write(target: &mut [u8], id: u128) {
    let mut rest = id;
    for place in target.rchunks_exact_mut(8) {
        place.copy_from_slice(&digits(rest as u32));
        rest >>= 32;
    }
}

/// The eight digits of a number, all at once: each four bits get a byte, and each byte its letter.
fn digits(number: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut bytes = u64::from(number);
    bytes = (bytes | bytes << 16) & 0x0000_ffff_0000_ffff;
    bytes = (bytes | bytes << 8) & 0x00ff_00ff_00ff_00ff;
    bytes = (bytes | bytes << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // From ten on, adding six carries into the upper half of the byte.
    let letters = (bytes + EACH * 6) >> 4 & EACH;
    (bytes + EACH * u64::from(b'0') + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
}
