//! Registry tokens: what `/v2/token` gives out and the other routes take. A token is claims in JSON, sealed with
//! HMAC-SHA256 (RFC 2104); clients treat it as opaque. The key may be a fresh one at each start: clients that are
//! told 401 fetch a new token by themselves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use windlass_kernel::{Clock, Entropy, Secret, Timestamp};

use crate::{Grant, RegistryToken};

const PREFIX: &str = "wlr1.";
const BLOCK: usize = 64;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose it is: whatever the issuer needs to find the principal again.
    pub subject: String,
    /// What it is limited to.
    pub grants: Vec<Grant>,
    /// When it is over.
    pub expires: Timestamp,
}

/// Seals and opens registry tokens.
pub struct TokenSealer {
    key: Secret<[u8; 32]>,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
}

impl fmt::Debug for TokenSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSealer").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl TokenSealer {
    /// A sealer with a fresh key. Tokens hold for `lifetime`.
    pub fn new(entropy: &dyn Entropy, clock: Arc<dyn Clock>, lifetime: Duration) -> Self {
        let mut key = [0u8; 32];
        entropy.fill(&mut key);
        Self { key: Secret::new(key), clock, lifetime }
    }

    /// A token for `subject`, limited to `grants`.
    pub fn issue(&self, subject: &str, grants: &[Grant]) -> RegistryToken {
        let expires = self.clock.now() + self.lifetime;
        let claims = Claims { subject: subject.to_owned(), grants: grants.to_vec(), expires };
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).expect("claims serialise to JSON"));
        let seal = URL_SAFE_NO_PAD.encode(hmac(self.key.expose(), body.as_bytes()));
        RegistryToken { token: Secret::new(format!("{PREFIX}{body}.{seal}")), lifetime: self.lifetime }
    }

    /// What `token` says, if it was sealed here and is not over.
    pub fn open(&self, token: &str) -> Option<Claims> {
        let (body, seal) = token.strip_prefix(PREFIX)?.split_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        if !same(&seal, &hmac(self.key.expose(), body.as_bytes())) {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        (claims.expires > self.clock.now()).then_some(claims)
    }
}

/// HMAC-SHA256 with a key no longer than the hash's block.
fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; BLOCK];
        for (b, k) in block.iter_mut().zip(key) {
            *b ^= k;
        }
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

/// Equality in a time that does not depend on where the bytes differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use windlass_testkit::{TestClock, TestEntropy};

    use super::*;
    use crate::Action;

    #[test]
    fn hmac_gives_the_values_of_rfc_4231() {
        // Test case 1 has a key of 20 bytes; padded with zeros it is the same HMAC key.
        let mut key = [0u8; 32];
        key[..20].fill(0x0b);
        let expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(hex::encode(hmac(&key, b"Hi There")), expected);
    }

    #[test]
    fn a_token_opens_until_it_is_over_and_not_when_altered() {
        let clock = Arc::new(TestClock::at(1_000));
        let sealer = TokenSealer::new(&TestEntropy::default(), clock.clone(), Duration::from_mins(5));
        let grants =
            [Grant { repository: "tasks".parse().unwrap(), actions: vec![Action::Pull, Action::Push] }];
        let token = sealer.issue("user:ada", &grants).token;
        let claims = sealer.open(token.expose()).unwrap();
        assert_eq!((claims.subject.as_str(), claims.grants.as_slice()), ("user:ada", grants.as_slice()));

        let (head, seal) = token.expose().rsplit_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(br#"{"subject":"user:eve","grants":[],"expires":99999999}"#);
        for forged in
            [format!("{PREFIX}{other}.{seal}"), format!("{head}."), format!("{head}.AAAA"), String::new()]
        {
            assert!(sealer.open(&forged).is_none(), "{forged}");
        }
        let stranger = TokenSealer::new(&windlass_kernel::OsEntropy, clock.clone(), Duration::from_mins(5));
        assert!(stranger.open(token.expose()).is_none(), "another key");
        clock.advance(Duration::from_mins(5));
        assert!(sealer.open(token.expose()).is_none(), "over");
    }
}
