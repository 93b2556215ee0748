//! Statements about an image (in-toto statement v1), signed (DSSE v1), in the wrapping that tools of sigstore read
//! (bundle v0.3, with a hint at the key in the place of a certificate).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_kernel::Digest;

use crate::key::{KeyError, PublicKey, SigningKey};

/// The media type of a bundle, which is its artifact type in a registry as well.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// What is signed, as the envelope names it.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// The largest bundle that is read, in bytes.
pub const LARGEST_BUNDLE: u64 = 64 << 20;

/// What a statement is about, by its predicate's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// How it was built (SLSA provenance v1).
    Provenance,
    /// What is in it, as CycloneDX.
    CycloneDx,
    /// What is in it, as SPDX.
    Spdx,
    /// Its known vulnerabilities.
    Vulns,
    /// How the tests went.
    Tests,
    /// Who agreed to its deployment.
    Approval,
    /// What a scan found in the code.
    Findings,
    /// Which secrets lie in its layers.
    Leaks,
    /// How it fared under load.
    Load,
    /// That a run of this platform made it: what cosign since its version 3 takes for the signature.
    Signature,
}

/// A statement about images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Always that of a statement v1.
    #[serde(rename = "_type")]
    pub kind: String,
    /// What it is about.
    pub subject: Vec<About>,
    /// What kind of thing it says.
    pub predicate_type: String,
    /// What it says.
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub name: String,
    /// Algorithm to digest.
    pub digest: BTreeMap<String, String>,
}

/// A signed statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, in base64.
    pub payload: String,
    /// Signatures of payload type and payload.
    pub signatures: Vec<Signature>,
}

/// A signature in an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The key's name; not to be trusted.
    #[serde(default)]
    pub keyid: String,
    /// The signature, in base64.
    pub sig: String,
}

/// An envelope as sigstore's tools exchange it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    /// [`BUNDLE`].
    pub media_type: String,
    /// How it is verified.
    pub verification_material: Material,
    /// What is signed.
    pub dsse_envelope: Envelope,
}

/// By which key a bundle is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Material {
    /// The key.
    pub public_key: Hint,
}

/// The name of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// [`PublicKey::id`].
    pub hint: String,
}

/// Why a bundle does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("it is no signed statement: {0}")]
    Malformed(String),
    /// None of the keys made a signature.
    #[error("its signature is by none of the known keys")]
    WrongKey,
    /// It speaks of something else.
    #[error("it is a statement about {0}, not about this image")]
    OtherSubject(String),
}

impl Claim {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Provenance,
        Self::CycloneDx,
        Self::Spdx,
        Self::Vulns,
        Self::Tests,
        Self::Approval,
        Self::Findings,
        Self::Leaks,
        Self::Load,
        Self::Signature,
    ];

    /// The predicate's type.
    pub fn uri(self) -> &'static str {
        match self {
            Self::Provenance => "https://slsa.dev/provenance/v1",
            Self::CycloneDx => "https://cyclonedx.org/bom",
            Self::Spdx => "https://spdx.dev/Document",
            Self::Vulns => "https://in-toto.io/attestation/vulns/v0.1",
            Self::Tests => "https://in-toto.io/attestation/test-result/v0.1",
            Self::Approval => "https://example.invalid/windlass/approval/v1",
            Self::Findings => "https://example.invalid/windlass/findings/v1",
            Self::Leaks => "https://example.invalid/windlass/leaks/v1",
            Self::Load => "https://example.invalid/windlass/load/v1",
            Self::Signature => "https://sigstore.dev/cosign/sign/v1",
        }
    }

    /// The claim of a predicate's type.
    pub fn of(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claim| claim.uri() == uri)
    }

    /// A word for people and policies.
    pub fn word(self) -> &'static str {
        match self {
            Self::Provenance => "provenance",
            Self::CycloneDx => "sbom (CycloneDX)",
            Self::Spdx => "sbom (SPDX)",
            Self::Vulns => "vulns",
            Self::Tests => "tests",
            Self::Approval => "approval",
            Self::Findings => "findings",
            Self::Leaks => "secrets",
            Self::Load => "load",
            Self::Signature => "signature",
        }
    }
}

impl Statement {
    /// A statement about one image.
    pub fn new(name: &str, digest: &Digest, claim: Claim, predicate: Value) -> Self {
        let text = digest.to_string();
        let algorithm = text.split(':').next().unwrap_or_default().to_owned();
        let about =
            About { name: name.to_owned(), digest: BTreeMap::from([(algorithm, digest.hex().to_owned())]) };
        Self {
            kind: STATEMENT.to_owned(),
            subject: vec![about],
            predicate_type: claim.uri().to_owned(),
            predicate,
        }
    }

    /// What kind of thing it says, if that is known here.
    pub fn claim(&self) -> Option<Claim> {
        Claim::of(&self.predicate_type)
    }

    /// Whether it speaks of this image.
    pub fn is_about(&self, digest: &Digest) -> bool {
        let text = digest.to_string();
        let Some((algorithm, hex)) = text.split_once(':') else { return false };
        self.subject.iter().any(|about| about.digest.get(algorithm).map(String::as_str) == Some(hex))
    }

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Result<Bundle, KeyError> {
        let payload = serde_json::to_vec(self).map_err(|_| KeyError::Refused("used"))?;
        let signature = key.sign(&encoded(PAYLOAD, &payload))?;
        let id = key.public().id();
        Ok(Bundle {
            media_type: BUNDLE.to_owned(),
            verification_material: Material { public_key: Hint { hint: id } },
            dsse_envelope: Envelope {
                payload_type: PAYLOAD.to_owned(),
                payload: STANDARD.encode(payload),
                // Without a name: verifiers pass over a signature under a name that is not their own for the key.
                signatures: vec![Signature { keyid: String::new(), sig: STANDARD.encode(signature) }],
            },
        })
    }
}

impl Bundle {
    /// Reads a bundle, or a bare envelope (as cosign's older layout has it).
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let malformed = |e: serde_json::Error| BundleError::Malformed(e.to_string());
        let value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
        if value.get("dsseEnvelope").is_some() {
            return serde_json::from_value(value).map_err(malformed);
        }
        let envelope: Envelope = serde_json::from_value(value).map_err(malformed)?;
        let hint = envelope.signatures.first().map(|s| s.keyid.clone()).unwrap_or_default();
        Ok(Self {
            media_type: BUNDLE.to_owned(),
            verification_material: Material { public_key: Hint { hint } },
            dsse_envelope: envelope,
        })
    }

    /// The statement, if one of the keys signed it and it is about this image; with the key.
    pub fn verify<'k>(
        &self,
        digest: &Digest,
        keys: &'k [PublicKey],
    ) -> Result<(Statement, &'k PublicKey), BundleError> {
        let envelope = &self.dsse_envelope;
        if envelope.payload_type != PAYLOAD {
            return Err(BundleError::Malformed(format!("its payload is `{}`", envelope.payload_type)));
        }
        let not_base64 = |_| BundleError::Malformed("its payload is not base64".to_owned());
        let payload = STANDARD.decode(&envelope.payload).map_err(not_base64)?;
        let signed = encoded(PAYLOAD, &payload);
        let signatures = envelope.signatures.iter().filter_map(|s| STANDARD.decode(&s.sig).ok());
        // Every key is tried: the names in the envelope are not signed.
        let key = signatures
            .flat_map(|signature| keys.iter().filter(|k| k.verifies(&signed, &signature)).collect::<Vec<_>>())
            .next()
            .ok_or(BundleError::WrongKey)?;
        let statement: Statement =
            serde_json::from_slice(&payload).map_err(|e| BundleError::Malformed(e.to_string()))?;
        if statement.kind != STATEMENT {
            return Err(BundleError::Malformed(format!("its type is `{}`", statement.kind)));
        }
        if !statement.is_about(digest) {
            let other = statement.subject.iter().flat_map(|s| s.digest.values()).cloned().collect::<Vec<_>>();
            return Err(BundleError::OtherSubject(other.join(", ")));
        }
        Ok((statement, key))
    }
}

/// What is signed (DSSE v1.0, "Pre-Authentication Encoding").
fn encoded(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut encoded = format!("DSSEv1 {} {kind} {} ", kind.len(), body.len()).into_bytes();
    encoded.extend_from_slice(body);
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The example of the specification's protocol page.
        let expected = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world";
        assert_eq!(encoded("http://example.com/HelloWorld", b"hello world"), expected);
    }

    #[test]
    fn only_a_statement_about_this_image_by_a_known_key_counts() {
        let key = SigningKey::generate().unwrap();
        let other = SigningKey::generate().unwrap();
        let digest = Digest::sha256(b"image");
        let statement = Statement::new("shop", &digest, Claim::Tests, json!({"result": "PASSED"}));
        let bundle = statement.sign(&key).unwrap();
        let bytes = serde_json::to_vec(&bundle).unwrap();
        let bundle = Bundle::parse(&bytes).unwrap();
        let keys = [other.public().clone(), key.public().clone()];
        let (read, by) = bundle.verify(&digest, &keys).unwrap();
        assert_eq!((&read, by), (&statement, key.public()));
        assert_eq!(bundle.verify(&digest, &keys[..1]), Err(BundleError::WrongKey));
        let wrong = bundle.verify(&Digest::sha256(b"other"), &keys);
        assert!(matches!(wrong, Err(BundleError::OtherSubject(_))));

        // A payload that was changed behind the signature, and an envelope without bundle.
        let mut forged = bundle.clone();
        let payload = String::from_utf8(STANDARD.decode(&forged.dsse_envelope.payload).unwrap()).unwrap();
        forged.dsse_envelope.payload = STANDARD.encode(payload.replace("PASSED", "FAILED"));
        assert_eq!(forged.verify(&digest, &keys), Err(BundleError::WrongKey));
        let envelope = serde_json::to_vec(&bundle.dsse_envelope).unwrap();
        assert!(Bundle::parse(&envelope).unwrap().verify(&digest, &keys).is_ok());
        assert!(Bundle::parse(b"[]").is_err());
    }

    #[test]
    fn every_claim_has_its_own_type() {
        for claim in Claim::ALL {
            assert_eq!(Claim::of(claim.uri()), Some(claim));
        }
    }
}
