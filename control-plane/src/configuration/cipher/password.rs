//! A text as key, as Spring's `Encryptors.standard` uses it: AES-256 in CBC mode, the key by PBKDF2 with HMAC-SHA1.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{
    AES_256, AES_256_KEY_LEN, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;

use super::CipherFault;

/// Rounds of PBKDF2; low, and fixed by what exists.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN.saturating_add(1023);
/// Bytes of the initialisation vector in front of a ciphertext.
const IV: usize = 16;

/// The key of a password.
#[derive(Clone)]
pub(crate) struct Password {
    key: [u8; AES_256_KEY_LEN],
}

impl Password {
    pub(super) fn new(password: &str, salt: &[u8]) -> Self {
        let mut key = [0; AES_256_KEY_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, salt, password.as_bytes(), &mut key);
        Self { key }
    }

    /// The ciphertext behind its initialisation vector, which is another one each time.
    pub(super) fn seal(&self, text: &[u8]) -> Result<Vec<u8>, CipherFault> {
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| CipherFault::Failed)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| CipherFault::Failed)?;
        let mut bytes = text.to_vec();
        let context = key.encrypt(&mut bytes).map_err(|_| CipherFault::Failed)?;
        let DecryptionContext::Iv128(iv) = &context else { return Err(CipherFault::Failed) };
        let iv: &[u8; IV] = iv.as_ref();
        Ok([iv, &bytes[..]].concat())
    }

    /// What was sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, CipherFault> {
        let (iv, sealed) = sealed.split_first_chunk::<IV>().ok_or(CipherFault::Closed)?;
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| CipherFault::Closed)?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| CipherFault::Closed)?;
        let mut sealed = sealed.to_vec();
        let context = DecryptionContext::Iv128(FixedLength::from(*iv));
        let text = key.decrypt(&mut sealed, context).map_err(|_| CipherFault::Closed)?;
        Ok(text.to_vec())
    }
}
