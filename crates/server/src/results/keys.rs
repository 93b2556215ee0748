//! The keys of the services, sealed as secrets are: the one that signs addresses, and those that sign identity tokens,
//! of which a new one takes its place in time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use windlass_identity::{AddressKey, SIGNING_KEY_LIFE, SIGNING_KEY_SHOWN, SigningKey};
use windlass_kernel::{Actor, Batch, Document, NewEvent, Secret, StoreError, StoreExt as _, Timestamp};
use windlass_secrets::{Sealing, SecretRecord};
use windlass_web::Answer;

use crate::context::{Context, internal, stored};

/// The keys, as they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeysDoc {
    addresses: SecretRecord,
    /// The key that signs identity tokens, and those before it that are still shown; newest first.
    signing: Vec<SigningKeyDoc>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SigningKeyDoc {
    id: String,
    created_at: Timestamp,
    /// When the next took its place.
    replaced_at: Option<Timestamp>,
    public: Value,
    private: SecretRecord,
}

impl Document for KeysDoc {
    const KIND: &'static str = "service_keys";

    fn id(&self) -> String {
        "keys".to_owned()
    }
}

/// The keys, opened.
pub(super) struct Keys {
    pub(super) addresses: AddressKey,
    pub(super) signing: SigningKey,
    /// When the signing key is to be replaced.
    replaced_at: Timestamp,
    /// All that are shown to verifiers.
    public: Vec<Value>,
}

impl Context {
    /// The keys; made when there are none, and renewed when it is time.
    pub(super) async fn keys_of_services(&self) -> Answer<Arc<Keys>> {
        let mut held = self.results.keys.lock().await;
        if let Some(keys) = held.as_ref().filter(|keys| self.now() < keys.replaced_at) {
            return Ok(keys.clone());
        }
        for _ in 0..3 {
            let found = self.store.get::<KeysDoc>("keys").await.map_err(stored)?;
            let (doc, version) = found.map_or((None, 0), |f| (Some(f.value), f.version));
            let (doc, event) = self.renewed(doc).await?;
            if let Some(event) = event {
                match self.commit(Batch::new().update(&doc, version).event(event)).await {
                    Err(StoreError::Conflict { .. }) => continue,
                    other => other.map_err(stored)?,
                };
            }
            let keys = Arc::new(self.opened(&doc)?);
            *held = Some(keys.clone());
            return Ok(keys);
        }
        Err(windlass_api::Problem::conflict("the keys of the services change too fast; try again"))
    }

    /// The keys with a signing key whose time is not over; and what to tell of it, if that is a new one.
    async fn renewed(&self, doc: Option<KeysDoc>) -> Answer<(KeysDoc, Option<NewEvent>)> {
        let now = self.now();
        let due =
            |doc: &KeysDoc| doc.signing.first().is_none_or(|key| key.created_at + SIGNING_KEY_LIFE <= now);
        match doc {
            Some(doc) if !due(&doc) => Ok((doc, None)),
            known => {
                let key = tokio::task::spawn_blocking(SigningKey::generate).await;
                let broken = |e: &dyn std::fmt::Display| internal("a signing key cannot be made", e);
                let key = key.map_err(|e| broken(&e))?.map_err(|e| broken(&e))?;
                let public = key.public().map_err(|e| broken(&e))?;
                let private = key.private().map_err(|e| broken(&e))?;
                let version = known.as_ref().map_or(1, |d| d.signing.len() as u64 + 1);
                let fresh = SigningKeyDoc {
                    id: key.id().to_owned(),
                    created_at: now,
                    replaced_at: None,
                    public,
                    private: self.seal_key("OIDC_SIGNING_KEY", version, &private)?,
                };
                let event = NewEvent::new(now, Actor::System, "identity_key.created", &fresh.id);
                let mut doc = match known {
                    Some(doc) => doc,
                    None => {
                        let addresses = AddressKey::generate(&*self.entropy);
                        let addresses = self.seal_key("ADDRESS_KEY", 1, &addresses)?;
                        KeysDoc { addresses, signing: Vec::new() }
                    }
                };
                for old in &mut doc.signing {
                    old.replaced_at.get_or_insert(now);
                }
                doc.signing.retain(|old| old.replaced_at.is_none_or(|at| now.since(at) < SIGNING_KEY_SHOWN));
                doc.signing.insert(0, fresh);
                Ok((doc, Some(event)))
            }
        }
    }

    /// Seals a key as a secret of the platform's own. No project sees it: it stands in a document of another kind.
    fn seal_key(&self, name: &str, version: u64, value: &Secret<String>) -> Answer<SecretRecord> {
        let broken = |e: &dyn std::fmt::Display| internal("a key of the services cannot be sealed", e);
        let sealing = Sealing {
            project: "windlass".parse().map_err(|e| broken(&e))?,
            environment: None,
            name: name.parse().map_err(|e| broken(&e))?,
            version,
            at: self.now(),
            by: Actor::System,
        };
        self.vault.seal(sealing, value).map_err(|e| broken(&e))
    }

    fn opened(&self, doc: &KeysDoc) -> Answer<Keys> {
        let broken = |e: &dyn std::fmt::Display| internal("a key of the services cannot be opened", e);
        let addresses = self.vault.open(&doc.addresses).map_err(|e| broken(&e))?;
        let newest = doc.signing.first().ok_or_else(|| broken(&"there is none"))?;
        let private = self.vault.open(&newest.private).map_err(|e| broken(&e))?;
        Ok(Keys {
            addresses: AddressKey::from_text(&addresses).map_err(|e| broken(&e))?,
            signing: SigningKey::from_private(&private).map_err(|e| broken(&e))?,
            replaced_at: newest.created_at + SIGNING_KEY_LIFE,
            public: doc.signing.iter().map(|key| key.public.clone()).collect(),
        })
    }

    /// The keys that verify identity tokens.
    pub(super) async fn public_keys(&self) -> Answer<Value> {
        Ok(json!({"keys": self.keys_of_services().await?.public}))
    }
}
