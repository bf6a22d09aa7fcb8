//! Values that begin with `{cipher}`, opened and made as Spring's encryptors do it, so that what was encrypted for a
//! Spring server can be read here and the other way round.

mod password;
mod rsa;

use std::sync::Arc;

use password::Password;
use rsa::RsaKey;

/// A key made ready.
#[derive(Clone)]
pub(crate) enum Cipher {
    /// Of a text: whoever can encrypt can decrypt too.
    Text(Password),
    /// An RSA key: its public half, which everybody may know, is enough to encrypt.
    Rsa(Arc<RsaKey>),
}

/// Why a key or a ciphertext cannot be used. None of them repeats either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CipherFault {
    #[error("the salt is not hexadecimal")]
    Salt,
    #[error("this kind of key is not supported; a text is, and an RSA private key in PEM form")]
    Key,
    #[error("this is no sound RSA private key of 2048 to 8192 bits in PEM form")]
    RsaKey,
    #[error("this is a public key; values are opened with the private one")]
    PublicKey,
    #[error("the text cannot be opened with this key")]
    Closed,
    #[error("the text could not be encrypted")]
    Failed,
}

impl Cipher {
    /// The key that a text is: an RSA private key when it is one in PEM form, a password otherwise.
    pub(crate) fn of_text(text: &str, salt: &str) -> Result<Self, CipherFault> {
        let salt = from_hex(salt).ok_or(CipherFault::Salt)?;
        if text.contains("-----BEGIN RSA PRIVATE KEY-----") || text.contains("-----BEGIN PRIVATE KEY-----") {
            return RsaKey::of_pem(text, salt).map(|key| Self::Rsa(Arc::new(key)));
        }
        if text.starts_with("ssh-rsa") || text.contains("PUBLIC KEY-----") {
            return Err(CipherFault::PublicKey);
        }
        if text.contains("-----BEGIN") {
            return Err(CipherFault::Key);
        }
        Ok(Self::Text(Password::new(text, &salt)))
    }

    /// The ciphertext, a new one each time: hexadecimal of a password's, in Base64 of an RSA key's.
    pub(crate) fn encrypt(&self, text: &str) -> Result<String, CipherFault> {
        match self {
            Self::Text(password) => password.seal(text.as_bytes()).map(|bytes| to_hex(&bytes)),
            Self::Rsa(key) => key.encrypt(text),
        }
    }

    /// The text of a ciphertext.
    pub(crate) fn decrypt(&self, ciphertext: &str) -> Result<String, CipherFault> {
        let text = match self {
            Self::Text(password) => password.open(&from_hex(ciphertext.trim()).ok_or(CipherFault::Closed)?),
            Self::Rsa(key) => key.decrypt(ciphertext.trim()),
        }?;
        String::from_utf8(text).map_err(|_| CipherFault::Closed)
    }

    /// The public half in the form of OpenSSH, where there is one.
    pub(crate) fn public_key(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Rsa(key) => Some(key.public_key()),
        }
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

/// Two hexadecimal digits in lower case for each byte.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        for (key, fault) in [
            ("-----BEGIN RSA PRIVATE KEY-----", CipherFault::RsaKey),
            ("-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----", CipherFault::RsaKey),
            ("-----BEGIN RSA PUBLIC KEY-----", CipherFault::PublicKey),
            ("ssh-rsa AAAA application", CipherFault::PublicKey),
            ("-----BEGIN EC PRIVATE KEY-----", CipherFault::Key),
        ] {
            assert_eq!(Cipher::of_text(key, "00").unwrap_err(), fault, "{key}");
        }
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
