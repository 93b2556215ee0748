//! The key that signs statements: ECDSA over P-256 with SHA-256, the one that every verifier of signed images has.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_kernel::{Digest, Secret};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// What stands before the point in the key's DER form (RFC 5480: algorithm, curve, bit string of 65 bytes).
const PREFIX: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key that signs.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// A key that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// `SubjectPublicKeyInfo`.
    der: Vec<u8>,
}

/// Why a key is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library refused.
    #[error("the key that signs statements cannot be {0}")]
    Refused(&'static str),
    /// Not a public key of the kind that is used here.
    #[error("this is not a public key as PEM (`{BEGIN}`) of ECDSA over P-256")]
    NotAKey,
}

impl SigningKey {
    /// A new key. Its randomness is the cryptographic library's own, which takes none from outside.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING);
        Self::of(pair.map_err(|_| KeyError::Refused("made"))?)
    }

    /// From what [`SigningKey::private`] gave.
    pub fn from_private(text: &Secret<String>) -> Result<Self, KeyError> {
        let der = STANDARD.decode(text.expose()).map_err(|_| KeyError::Refused("read"))?;
        let der = zeroize::Zeroizing::new(der);
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der);
        Self::of(pair.map_err(|_| KeyError::Refused("read"))?)
    }

    fn of(pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Refused("shown"))?;
        let public = PublicKey::from_der(der.as_ref())?;
        Ok(Self { pair, public })
    }

    /// The private key, to be sealed and kept (PKCS #8 in base64).
    pub fn private(&self) -> Result<Secret<String>, KeyError> {
        let der = self.pair.to_pkcs8v1().map_err(|_| KeyError::Refused("written"))?;
        Ok(Secret::new(STANDARD.encode(der.as_ref())))
    }

    /// The half that verifies.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature (DER) of these bytes.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.pair.sign(&SystemRandom::new(), bytes).map_err(|_| KeyError::Refused("used"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl PublicKey {
    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let point = der.strip_prefix(PREFIX).ok_or(KeyError::NotAKey)?;
        // Uncompressed: a 4 and two numbers of 32 bytes.
        if point.len() != 65 || point[0] != 4 {
            return Err(KeyError::NotAKey);
        }
        Ok(Self { der: der.to_vec() })
    }

    /// From a PEM file (RFC 7468).
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (_, rest) = text.split_once(BEGIN).ok_or(KeyError::NotAKey)?;
        let (body, _) = rest.split_once(END).ok_or(KeyError::NotAKey)?;
        let body: String = body.chars().filter(|c| !c.is_whitespace()).collect();
        Self::from_der(&STANDARD.decode(body).map_err(|_| KeyError::NotAKey)?)
    }

    /// As a PEM file.
    pub fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
    }

    /// The key's name: its digest, in base64, as cosign hints at keys.
    pub fn id(&self) -> String {
        STANDARD.encode(hex::decode(Digest::sha256(&self.der).hex()).unwrap_or_default())
    }

    /// Whether the signature is of these bytes.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let point = &self.der[PREFIX.len()..];
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(bytes, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_private(&key.private().unwrap()).unwrap();
        let public = PublicKey::from_pem(&format!("text before\n{}", key.public().to_pem())).unwrap();
        assert_eq!((public.id(), &public), (again.public().id(), key.public()));
        let signature = again.sign(b"statement").unwrap();
        assert!(public.verifies(b"statement", &signature));
        assert!(!public.verifies(b"statement.", &signature));
        assert!(!SigningKey::generate().unwrap().public().verifies(b"statement", &signature));
        assert!(!format!("{key:?}").contains(key.private().unwrap().expose().as_str()));
    }

    #[test]
    fn what_is_no_key_of_this_kind_is_refused() {
        let pem = SigningKey::generate().unwrap().public().to_pem();
        let cut = pem.replacen('M', "", 1);
        for bad in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", &cut] {
            assert_eq!(PublicKey::from_pem(bad), Err(KeyError::NotAKey), "{bad}");
        }
    }
}
