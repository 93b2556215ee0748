//! Signed addresses: whoever has one may do the one thing that it names, until it ends, without any other credential.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use windlass_kernel::{Entropy, Secret, Timestamp};
use zeroize::Zeroizing;

use crate::InvalidCredential;

/// The key that signs addresses (HMAC with SHA-256).
pub struct AddressKey(hmac::Key);

impl AddressKey {
    /// A new key's text, to be sealed and kept.
    pub fn generate(entropy: &dyn Entropy) -> Secret<String> {
        let mut random = Zeroizing::new([0u8; 32]);
        entropy.fill(&mut *random);
        Secret::new(STANDARD.encode(*random))
    }

    /// From the text that was kept.
    pub fn from_text(text: &Secret<String>) -> Result<Self, InvalidCredential> {
        let bytes = STANDARD.decode(text.expose()).map(Zeroizing::new).map_err(|_| InvalidCredential)?;
        if bytes.len() != 32 {
            return Err(InvalidCredential);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The proof that `what` was allowed until `ends`.
    pub fn sign(&self, what: &[&str], ends: Timestamp) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, &message(what, ends)))
    }

    /// Whether `proof` says so, and it has not ended.
    pub fn verify(
        &self,
        what: &[&str],
        ends: Timestamp,
        proof: &str,
        now: Timestamp,
    ) -> Result<(), InvalidCredential> {
        let proof = URL_SAFE_NO_PAD.decode(proof).map_err(|_| InvalidCredential)?;
        hmac::verify(&self.0, &message(what, ends), &proof).map_err(|_| InvalidCredential)?;
        if now < ends { Ok(()) } else { Err(InvalidCredential) }
    }
}

impl std::fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressKey(***)")
    }
}

/// Each part behind its length, so that no two lists give the same bytes.
fn message(what: &[&str], ends: Timestamp) -> Vec<u8> {
    let ends = ends.as_millis().to_string();
    let mut out = b"windlass address 1".to_vec();
    for part in what.iter().chain([&ends.as_str()]) {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use windlass_kernel::OsEntropy;

    use super::*;

    #[test]
    fn an_address_holds_for_what_it_names_until_it_ends() {
        let key = AddressKey::from_text(&AddressKey::generate(&OsEntropy)).unwrap();
        let now = Timestamp::from_millis(1000);
        let ends = now + Duration::from_mins(1);
        let proof = key.sign(&["upload", "7"], ends);
        let holds = |what: &[&str], ends, proof: &str, now| key.verify(what, ends, proof, now).is_ok();
        assert!(holds(&["upload", "7"], ends, &proof, now));
        assert!(!holds(&["upload", "8"], ends, &proof, now));
        assert!(!holds(&["download", "7"], ends, &proof, now));
        assert!(!holds(&["uploa", "d7"], ends, &proof, now));
        assert!(!holds(&["upload", "7"], ends + Duration::from_secs(1), &proof, now));
        assert!(!holds(&["upload", "7"], ends, &proof, ends));
        assert!(!holds(&["upload", "7"], ends, "", now) && !holds(&["upload", "7"], ends, "!", now));
        let other = AddressKey::from_text(&AddressKey::generate(&OsEntropy)).unwrap();
        assert!(other.verify(&["upload", "7"], ends, &proof, now).is_err());
        assert!(AddressKey::from_text(&Secret::new("AAAA".into())).is_err());
    }
}
