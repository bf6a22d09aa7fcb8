//! Values that begin with `{cipher}`, opened and made as Spring's `Encryptors.text` does it, so that what was
//! encrypted for a Spring server can be read here and the other way round.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, AES_256_KEY_LEN, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;

/// Rounds of PBKDF2; low, and fixed by what exists.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);
/// Bytes of the initialisation vector in front of a ciphertext.
const IV: usize = 16;

/// A key made ready.
#[derive(Clone)]
pub(crate) struct Cipher {
    key: [u8; AES_256_KEY_LEN],
}

/// Why a key or a ciphertext cannot be used. None of them repeats either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CipherFault {
    #[error("the salt is not hexadecimal")]
    Salt,
    #[error("this kind of key is not supported; a text key is")]
    Key,
    #[error("the text cannot be opened with this key")]
    Closed,
    #[error("the text could not be encrypted")]
    Failed,
}

impl Cipher {
    /// The key of a password (AES-256, by PBKDF2 with HMAC-SHA1).
    pub(crate) fn of_text(password: &str, salt: &str) -> Result<Self, CipherFault> {
        if password.contains("-----BEGIN") {
            return Err(CipherFault::Key);
        }
        let salt = from_hex(salt).ok_or(CipherFault::Salt)?;
        let mut key = [0; AES_256_KEY_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, &salt, password.as_bytes(), &mut key);
        Ok(Self { key })
    }

    /// The ciphertext, hexadecimal, a new one each time.
    pub(crate) fn encrypt(&self, text: &str) -> Result<String, CipherFault> {
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| CipherFault::Failed)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| CipherFault::Failed)?;
        let mut bytes = text.as_bytes().to_vec();
        let context = key.encrypt(&mut bytes).map_err(|_| CipherFault::Failed)?;
        let DecryptionContext::Iv128(iv) = &context else { return Err(CipherFault::Failed) };
        let iv: &[u8; IV] = iv.as_ref();
        Ok(iv.iter().chain(&bytes).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The text of a ciphertext.
    pub(crate) fn decrypt(&self, ciphertext: &str) -> Result<String, CipherFault> {
        let bytes = from_hex(ciphertext.trim()).ok_or(CipherFault::Closed)?;
        let (iv, sealed) = bytes.split_at_checked(IV).ok_or(CipherFault::Closed)?;
        let iv: [u8; IV] = iv.try_into().map_err(|_| CipherFault::Closed)?;
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| CipherFault::Closed)?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| CipherFault::Closed)?;
        let mut sealed = sealed.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let text = key.decrypt(&mut sealed, context).map_err(|_| CipherFault::Closed)?;
        String::from_utf8(text.to_vec()).map_err(|_| CipherFault::Closed)
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Cipher")
    }
}

/// Takes away `{name:value}` hints in front of a text; `{plain}` ends them. Gives the hints and the rest.
pub(crate) fn without_hints(text: &str) -> (&str, &str) {
    let mut rest = text;
    while let Some((hint, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        if hint == "plain" {
            return (&text[..text.len() - rest.len()], after);
        }
        if !hint.contains(':') || hint.contains('{') {
            break;
        }
        rest = after;
    }
    text.split_at(text.len() - rest.len())
}

/// Bytes of hexadecimal digits, two for each.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_text_comes_back_and_never_looks_the_same() {
        let cipher = Cipher::of_text("secret", "deadbeef").unwrap();
        for text in ["", "x", "sixteen bytes ok", "long and more than one block of it, with ünïcödë"] {
            let (one, other) = (cipher.encrypt(text).unwrap(), cipher.encrypt(text).unwrap());
            assert_ne!(one, other);
            assert!(one.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
            assert_eq!(cipher.decrypt(&one).unwrap(), text);
        }
    }

    #[test]
    fn what_does_not_fit_stays_closed() {
        let cipher = Cipher::of_text("secret", "deadbeef").unwrap();
        let sealed = Cipher::of_text("other", "deadbeef").unwrap().encrypt("x").unwrap();
        for text in ["", "zz", "ab", "abc", &"00".repeat(16), &"00".repeat(33)] {
            assert_eq!(cipher.decrypt(text), Err(CipherFault::Closed), "{text}");
        }
        // One in 256 wrong keys leaves padding that looks sound; the text is never the right one.
        assert_ne!(cipher.decrypt(&sealed).as_deref(), Ok("x"));
        assert_eq!(Cipher::of_text("x", "xyz").unwrap_err(), CipherFault::Salt);
        assert_eq!(Cipher::of_text("-----BEGIN RSA PRIVATE KEY-----", "00").unwrap_err(), CipherFault::Key);
        assert!(!format!("{cipher:?}").contains("key"));
    }

    #[test]
    fn hints_stand_in_front() {
        for (text, hints, rest) in [
            ("abc", "", "abc"),
            ("{key:one}abc", "{key:one}", "abc"),
            ("{key:one}{secret:two}abc", "{key:one}{secret:two}", "abc"),
            ("{key:one}{plain}{x:y}", "{key:one}", "{x:y}"),
            ("{abc", "", "{abc"),
            ("{abc}d", "", "{abc}d"),
        ] {
            assert_eq!(without_hints(text), (hints, rest), "{text}");
        }
    }
}
