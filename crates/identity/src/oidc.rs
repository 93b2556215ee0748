//! Identity tokens of jobs (OpenID Connect Core 1.0): what they claim, in GitHub's words, and the keys that sign them.
//!
//! Signed with RS256 (RFC 7518, section 3.3), the one algorithm that every verifier has.

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use windlass_kernel::{Digest, Secret};

/// How long an identity token holds.
pub const ID_TOKEN_LIFE: Duration = Duration::from_mins(10);
/// How long a key signs before the next takes its place.
pub const SIGNING_KEY_LIFE: Duration = Duration::from_hours(90 * 24);
/// How long a key that signs no more is still told to verifiers: longer than any token that it signed.
pub const SIGNING_KEY_SHOWN: Duration = Duration::from_hours(24);

/// A key that signs identity tokens.
pub struct SigningKey {
    pair: KeyPair,
    id: String,
}

/// Why a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key that signs identity tokens cannot be {0}")]
pub struct SigningKeyError(&'static str);

impl SigningKey {
    /// A new key (2048 bits). Its randomness is the cryptographic library's own, which takes none from outside.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningKeyError("made"))?;
        Ok(Self::of(pair))
    }

    /// From what [`SigningKey::private`] gave.
    pub fn from_private(text: &Secret<String>) -> Result<Self, SigningKeyError> {
        let der = STANDARD.decode(text.expose()).map_err(|_| SigningKeyError("read"))?;
        let der = zeroize::Zeroizing::new(der);
        KeyPair::from_pkcs8(&der).map(Self::of).map_err(|_| SigningKeyError("read"))
    }

    fn of(pair: KeyPair) -> Self {
        let id = Digest::sha256(pair.public_key().as_ref()).hex()[..32].to_owned();
        Self { pair, id }
    }

    /// The private key, to be sealed and kept (PKCS #8 in base64).
    pub fn private(&self) -> Result<Secret<String>, SigningKeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| SigningKeyError("written"))?;
        Ok(Secret::new(STANDARD.encode(der.as_ref())))
    }

    /// The key's name: a part of its public half's digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half as a JSON web key (RFC 7517).
    pub fn public(&self) -> Result<Value, SigningKeyError> {
        let (modulus, exponent) =
            rsa_numbers(self.pair.public_key().as_ref()).ok_or(SigningKeyError("shown"))?;
        Ok(json!({
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.id,
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "e": URL_SAFE_NO_PAD.encode(exponent),
        }))
    }

    /// A signed token (RFC 7515, compact form).
    pub fn sign(&self, claims: &Value) -> Result<Secret<String>, SigningKeyError> {
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": self.id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| SigningKeyError("used"))?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1: a sequence of two integers in DER).
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = element(der, 0x30)?;
    let (modulus, after) = element(sequence, 0x02)?;
    let (exponent, end) = element(after, 0x02)?;
    (rest.is_empty() && end.is_empty()).then(|| (unsigned(modulus), unsigned(exponent)))
}

/// The content of the first element, which must have this tag, and what comes behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, der) = der.split_first()?;
    let (&length, der) = der.split_first()?;
    let (length, der) = if length < 0x80 {
        (usize::from(length), der)
    } else {
        let (digits, der) = der.split_at_checked(usize::from(length & 0x7f))?;
        let wide = digits.len() <= 4;
        (wide.then(|| digits.iter().fold(0usize, |n, b| n << 8 | usize::from(*b)))?, der)
    };
    (first == tag).then(|| der.split_at_checked(length))?
}

/// Without the zero that keeps an integer positive.
fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|b| **b == 0).count();
    &integer[zeros..]
}

/// What the claims of an identity token are made of. Ids and names as the `github` context has them.
#[derive(Clone, Debug)]
pub struct IdClaims<'a> {
    /// Who signs: where the discovery document is found.
    pub issuer: &'a str,
    /// Who it is for.
    pub audience: &'a str,
    /// The token's own id.
    pub token_id: &'a str,
    /// Seconds since the Unix epoch.
    pub now: i64,
    /// The `github` context of the run.
    pub github: &'a Value,
    /// The job's environment.
    pub environment: Option<&'a str>,
    /// The attempt of the run, from 1.
    pub attempt: u32,
}

impl IdClaims<'_> {
    /// `sub`: what trust policies are written about.
    pub fn subject(&self) -> String {
        let text = |name: &str| self.github[name].as_str().unwrap_or_default();
        let repository = text("repository");
        if let Some(environment) = self.environment {
            // A colon would make one subject look like another.
            return format!(
                "repo:{repository}:environment:{}",
                environment.replace('%', "%25").replace(':', "%3A")
            );
        }
        match text("event_name") {
            "pull_request" => format!("repo:{repository}:pull_request"),
            _ => format!("repo:{repository}:ref:{}", text("ref")),
        }
    }

    /// All claims.
    pub fn to_json(&self) -> Value {
        const COPIED: [&str; 19] = [
            "actor",
            "actor_id",
            "base_ref",
            "event_name",
            "head_ref",
            "ref",
            "ref_protected",
            "ref_type",
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "run_id",
            "run_number",
            "sha",
            "workflow",
            "workflow_ref",
            "workflow_sha",
            "check_run_id",
        ];
        let mut claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.subject(),
            "jti": self.token_id,
            "iat": self.now,
            "nbf": self.now,
            "exp": self.now + ID_TOKEN_LIFE.as_secs() as i64,
            "run_attempt": self.attempt.to_string(),
            "repository_visibility": "private",
            "runner_environment": "self-hosted",
        });
        for name in COPIED {
            match &self.github[name] {
                Value::String(text) => claims[name] = json!(text),
                Value::Null | Value::Array(_) | Value::Object(_) => {}
                // Trust policies compare texts.
                other => claims[name] = json!(other.to_string()),
            }
        }
        for (claim, source) in
            [("job_workflow_ref", "job_workflow_ref"), ("job_workflow_sha", "job_workflow_sha")]
        {
            let of_run = &self.github[claim.trim_start_matches("job_")];
            let value = self.github[source].as_str().or(of_run.as_str()).unwrap_or_default();
            claims[claim] = json!(value);
        }
        if let Some(environment) = self.environment {
            claims["environment"] = json!(environment);
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    fn github(event: &str, git_ref: &str) -> Value {
        json!({
            "repository": "windlass/shop", "event_name": event, "ref": git_ref, "sha": "abc", "run_id": "run_1",
            "ref_protected": false, "workflow_ref": "windlass/shop/.github/workflows/ci.yml@refs/heads/main",
            "workflow_sha": "abc", "event": {"x": 1},
        })
    }

    fn claims<'a>(github: &'a Value, environment: Option<&'a str>) -> IdClaims<'a> {
        IdClaims {
            issuer: "http://x/_services/token",
            audience: "a",
            token_id: "t",
            now: 1000,
            github,
            environment,
            attempt: 2,
        }
    }

    #[test]
    fn subjects_have_githubs_forms() {
        let cases = [
            ("push", "refs/heads/main", None, "repo:windlass/shop:ref:refs/heads/main"),
            ("push", "refs/tags/v1", None, "repo:windlass/shop:ref:refs/tags/v1"),
            ("pull_request", "refs/heads/x", None, "repo:windlass/shop:pull_request"),
            ("push", "refs/heads/main", Some("production"), "repo:windlass/shop:environment:production"),
            ("pull_request", "refs/heads/x", Some("a:b"), "repo:windlass/shop:environment:a%3Ab"),
        ];
        for (event, git_ref, environment, expected) in cases {
            assert_eq!(claims(&github(event, git_ref), environment).subject(), expected);
        }
    }

    #[test]
    fn claims_are_texts_and_hold_nothing_of_the_event() {
        let github = github("push", "refs/heads/main");
        let all = claims(&github, Some("production")).to_json();
        assert_eq!(all["exp"], 1600);
        assert_eq!((&all["ref_protected"], &all["run_attempt"]), (&json!("false"), &json!("2")));
        assert_eq!(all["environment"], "production");
        assert_eq!(all["job_workflow_ref"], github["workflow_ref"]);
        assert!(all.get("event").is_none());
    }

    #[test]
    fn what_is_signed_verifies_under_the_public_key_and_nothing_else_does() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_private(&key.private().unwrap()).unwrap();
        assert_eq!(key.id(), again.id());
        let token = again.sign(&json!({"sub": "x"})).unwrap();
        let (signed, signature) = token.expose().rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.pair.public_key().as_ref());
        public.verify(signed.as_bytes(), &signature).unwrap();
        assert!(public.verify(format!("{signed}x").as_bytes(), &signature).is_err());
        let shown = key.public().unwrap();
        assert_eq!((&shown["e"], shown["n"].as_str().unwrap().len()), (&json!("AQAB"), 342));
        assert!(!format!("{key:?}{shown}").contains(key.private().unwrap().expose().as_str()));
        assert!(SigningKey::from_private(&Secret::new("AAAA".into())).is_err());
    }

    #[test]
    fn only_a_sequence_of_two_integers_is_a_public_key() {
        assert_eq!(rsa_numbers(&[0x30, 7, 2, 2, 0, 0x81, 2, 1, 3]), Some((&[0x81][..], &[3][..])));
        for bad in [&[][..], &[0x30], &[0x30, 3, 2, 1, 1], &[0x30, 0x85, 1, 1, 1, 1, 1], &[0x31, 0]] {
            assert_eq!(rsa_numbers(bad), None, "{bad:?}");
        }
    }
}
