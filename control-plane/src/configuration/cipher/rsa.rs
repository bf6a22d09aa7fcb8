//! An RSA key, as Spring's `RsaSecretEncryptor` uses it by default: each text has a password of its own, made by chance,
//! and that is sealed for the key (PKCS #1, 1.5) in front of it.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use der::asn1::UintRef;
use der::{Reader, SliceReader};

use super::password::Password;
use super::{CipherFault, to_hex};

/// Bytes of chance that make a text's own password.
const CHANCE: usize = 16;
/// Bytes that say how long the sealed password is.
const LENGTH: usize = 2;

/// An RSA key, both halves.
pub(crate) struct RsaKey {
    private: Pkcs1PrivateDecryptingKey,
    public: Pkcs1PublicEncryptingKey,
    /// The public half as `/key` gives it.
    line: String,
    salt: Vec<u8>,
}

impl RsaKey {
    /// The key in a PEM text: `RSA PRIVATE KEY` (RFC 8017) or `PRIVATE KEY` (RFC 5958). Line ends may be missing, as they
    /// are in variables of the environment.
    pub(super) fn of_pem(text: &str, salt: Vec<u8>) -> Result<Self, CipherFault> {
        Self::read(text, salt).ok_or(CipherFault::RsaKey)
    }

    fn read(text: &str, salt: Vec<u8>) -> Option<Self> {
        let inside = |kind: &str| {
            let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
            let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
            let digits: String = body.split_whitespace().collect();
            BASE64_STANDARD.decode(digits).ok()
        };
        let pair = match inside("RSA PRIVATE KEY") {
            Some(bytes) => KeyPair::from_der(&bytes).ok()?,
            None => KeyPair::from_pkcs8(&inside("PRIVATE KEY")?).ok()?,
        };
        let private = PrivateDecryptingKey::from_pkcs8(pair.as_der().ok()?.as_ref()).ok()?;
        Some(Self {
            public: Pkcs1PublicEncryptingKey::new(private.public_key()).ok()?,
            private: Pkcs1PrivateDecryptingKey::new(private).ok()?,
            line: line_of(pair.public_key().as_ref())?,
            salt,
        })
    }

    pub(super) fn public_key(&self) -> &str {
        &self.line
    }

    pub(super) fn encrypt(&self, text: &str) -> Result<String, CipherFault> {
        let chance: [u8; CHANCE] = rand::random();
        let mut sealed = vec![0; self.public.ciphertext_size()];
        let sealed = self.public.encrypt(&chance, &mut sealed).map_err(|_| CipherFault::Failed)?;
        let length = u16::try_from(sealed.len()).map_err(|_| CipherFault::Failed)?.to_be_bytes();
        let text = self.password(&chance).seal(text.as_bytes())?;
        Ok(BASE64_STANDARD.encode([&length[..], sealed, &text].concat()))
    }

    pub(super) fn decrypt(&self, ciphertext: &str) -> Result<Vec<u8>, CipherFault> {
        // A form puts a `=` behind its text, and the text may end in some of its own.
        let digits = ciphertext.trim_end_matches('=');
        let bytes = BASE64_STANDARD_NO_PAD.decode(digits).map_err(|_| CipherFault::Closed)?;
        let (length, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(CipherFault::Closed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (sealed, text) = rest.split_at_checked(length).ok_or(CipherFault::Closed)?;
        let mut chance = vec![0; self.private.min_output_size()];
        let chance = self.private.decrypt(sealed, &mut chance).map_err(|_| CipherFault::Closed)?;
        self.password(chance).open(text)
    }

    fn password(&self, chance: &[u8]) -> Password {
        Password::new(&to_hex(chance), &self.salt)
    }
}

/// The public half in the form of OpenSSH (RFC 4253, 6.6), from an `RSAPublicKey` (RFC 8017, A.1.1).
fn line_of(public: &[u8]) -> Option<String> {
    let numbers = SliceReader::new(public).ok()?.sequence(|inner| {
        Ok::<_, der::Error>((inner.decode::<UintRef<'_>>()?, inner.decode::<UintRef<'_>>()?))
    });
    let (modulus, exponent) = numbers.ok()?;
    let mut blob = Vec::new();
    put(&mut blob, b"ssh-rsa")?;
    for number in [exponent, modulus] {
        // A first bit of one would make it negative.
        let positive = [&[0][..], number.as_bytes()].concat();
        let from = usize::from(number.as_bytes().first().is_some_and(|first| *first < 0x80));
        put(&mut blob, &positive[from..])?;
    }
    Some(format!("ssh-rsa {} application", BASE64_STANDARD.encode(blob)))
}

fn put(blob: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    blob.extend(u32::try_from(bytes.len()).ok()?.to_be_bytes());
    blob.extend(bytes);
    Some(())
}
