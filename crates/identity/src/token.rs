//! The text of a token: a prefix that says what it is, 256 random bits in base 62, and a checksum, so that a mistyped
//! token is told from a revoked one, and a scanner finds one that leaked. Only its SHA-256 is kept.

use std::fmt;

use sha2::{Digest as _, Sha256};
use windlass_kernel::{Entropy, Secret};
use zeroize::Zeroizing;

/// What a token is for; told by its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A person's API token: also the password for Git and the registry.
    User,
    /// A job's own token.
    Job,
    /// A runner's token.
    Runner,
    /// A browser's session cookie.
    Session,
    /// The one-time link that makes the first administrator.
    Setup,
}

/// A token in plain text. Shows itself only by [`expose`](Self::expose).
#[derive(Clone)]
pub struct TokenText {
    kind: TokenKind,
    text: Secret<String>,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a Windlass token (wl_… with 49 letters and digits); was it copied whole?")]
pub struct TokenTextError;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 > 2^256.
const BODY: usize = 43;
/// 62^6 > 2^32.
const CHECK: usize = 6;

impl TokenKind {
    const ALL: [Self; 5] = [Self::User, Self::Job, Self::Runner, Self::Session, Self::Setup];

    /// What its tokens begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::User => "wl_",
            Self::Job => "wlj_",
            Self::Runner => "wlr_",
            Self::Session => "wls_",
            Self::Setup => "wlu_",
        }
    }
}

impl TokenText {
    /// A new token.
    pub fn generate(kind: TokenKind, entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut *random);
        let mut text = String::with_capacity(4 + BODY + CHECK);
        text.push_str(kind.prefix());
        text.push_str(&Zeroizing::new(base62(&*random, BODY)));
        text.push_str(&checksum(&text));
        Self { kind, text: Secret::new(text) }
    }

    /// Reads a token, checking its form and its checksum (not whether it was ever given out).
    pub fn parse(text: &str) -> Result<Self, TokenTextError> {
        let kind = TokenKind::ALL
            .into_iter()
            .find(|k| text.len() == k.prefix().len() + BODY + CHECK && text.starts_with(k.prefix()))
            .ok_or(TokenTextError)?;
        if !text[kind.prefix().len()..].bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(TokenTextError);
        }
        let (signed, check) = text.split_at(text.len() - CHECK);
        if checksum(signed) != check {
            return Err(TokenTextError);
        }
        Ok(Self { kind, text: Secret::new(text.to_owned()) })
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// As a secret, for a wire type.
    pub fn secret(&self) -> Secret<String> {
        self.text.clone()
    }

    /// What is kept of it: its SHA-256 in hexadecimal. 256 random bits need no slow hash.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.expose().as_bytes()))
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenText({}***)", self.kind.prefix())
    }
}

fn checksum(text: &str) -> String {
    base62(&Sha256::digest(text.as_bytes())[..4], CHECK)
}

/// Big-endian bytes as `digits` base-62 digits.
fn base62(bytes: &[u8], digits: usize) -> String {
    let mut number = Zeroizing::new(bytes.to_vec());
    let mut out = vec![b'0'; digits];
    for digit in out.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in number.iter_mut() {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = BASE62[rest as usize];
    }
    out.into_iter().map(char::from).collect()
}

/// Compares without telling by its time where the first difference is.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a.iter().zip(b).fold(0u8, |all, (x, y)| all | (x ^ y));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use windlass_kernel::OsEntropy;

    use super::*;

    #[test]
    fn every_kind_round_trips_and_does_not_show() {
        for kind in TokenKind::ALL {
            let token = TokenText::generate(kind, &OsEntropy);
            let again = TokenText::parse(token.expose()).unwrap();
            assert_eq!((again.kind(), again.hash()), (kind, token.hash()));
            assert!(!format!("{token:?}").contains(&token.expose()[6..12]));
            assert_eq!(token.hash().len(), 64);
        }
        let (a, b) = (
            TokenText::generate(TokenKind::User, &OsEntropy),
            TokenText::generate(TokenKind::User, &OsEntropy),
        );
        assert_ne!(a.expose(), b.expose());
    }

    #[test]
    fn base62_counts() {
        assert_eq!(base62(&[0], 2), "00");
        assert_eq!(base62(&[61], 2), "0z");
        assert_eq!(base62(&[62], 2), "10");
        assert_eq!(base62(&[255; 32], BODY).len(), BODY);
        assert_eq!(base62(&[255; 4], CHECK), "4gfFC3");
    }

    #[test]
    fn comparing() {
        assert!(constant_time_eq(b"", b"") && constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd") && !constant_time_eq(b"abc", b"ab"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text in ".{0,60}|wl_.{40,52}") {
            let _ = TokenText::parse(&text);
        }

        #[test]
        fn one_wrong_character_is_found(at in 3usize..52, by in 1usize..62) {
            let token = TokenText::generate(TokenKind::User, &OsEntropy);
            let mut bytes = token.expose().as_bytes().to_vec();
            let old = BASE62.iter().position(|b| *b == bytes[at]).unwrap();
            bytes[at] = BASE62[(old + by) % 62];
            prop_assert!(TokenText::parse(std::str::from_utf8(&bytes).unwrap()).is_err());
        }
    }
}
