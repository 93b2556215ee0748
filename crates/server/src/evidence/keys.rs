//! The key that signs statements: made when it is first needed, sealed as secrets are, replaced when somebody says so.
//! The public halves of those before stay, with the time in which they signed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use windlass_api as api;
use windlass_api::Problem;
use windlass_evidence::{PublicKey, SigningKey};
use windlass_identity::{Action, Principal, Resource};
use windlass_kernel::{Actor, Batch, Document, NewEvent, StoreError, StoreExt as _, Timestamp};
use windlass_secrets::{Sealing, SecretRecord};
use windlass_web::Answer;

use crate::context::{Context, internal, may, stored};

const KEYS: &str = "statements";

/// The keys, as they are kept; the newest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct KeysDoc {
    keys: Vec<KeyDoc>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct KeyDoc {
    id: String,
    pem: String,
    created_at: Timestamp,
    /// When the next took its place; its private half is gone then.
    replaced_at: Option<Timestamp>,
    private: Option<SecretRecord>,
}

impl Document for KeysDoc {
    const KIND: &'static str = "statement_keys";

    fn id(&self) -> String {
        KEYS.to_owned()
    }
}

/// The keys, opened.
pub(super) struct Keys {
    pub(super) signing: SigningKey,
    public: Vec<(PublicKey, Timestamp, Option<Timestamp>)>,
}

impl Keys {
    /// The keys that signed at this time. A statement may come a moment after the key that signed it was replaced.
    pub(super) fn at(&self, time: Timestamp) -> Vec<PublicKey> {
        const MOMENT: std::time::Duration = std::time::Duration::from_mins(1);
        let then =
            |from: Timestamp, to: Option<Timestamp>| from <= time && to.is_none_or(|to| time <= to + MOMENT);
        self.public.iter().filter(|(_, from, to)| then(*from, *to)).map(|(key, ..)| key.clone()).collect()
    }
}

impl Context {
    /// The keys; made when there are none.
    pub(super) async fn statement_keys(&self) -> Answer<Arc<Keys>> {
        let mut held = self.evidence.keys.lock().await;
        if let Some(keys) = held.as_ref() {
            return Ok(keys.clone());
        }
        let doc = self.kept_keys(false, &Actor::System).await?;
        let keys = Arc::new(self.opened_keys(&doc)?);
        *held = Some(keys.clone());
        Ok(keys)
    }

    /// The kept keys, with a new one if there is none or one is wanted.
    async fn kept_keys(&self, rotate: bool, by: &Actor) -> Answer<KeysDoc> {
        for _ in 0..3 {
            let found = self.store.get::<KeysDoc>(KEYS).await.map_err(stored)?;
            let (mut doc, version) = found.map_or((KeysDoc::default(), 0), |f| (f.value, f.version));
            if !doc.keys.is_empty() && !rotate {
                return Ok(doc);
            }
            let event = self.add_key(&mut doc, by)?;
            match self.commit(Batch::new().update(&doc, version).event(event)).await {
                Ok(_) => return Ok(doc),
                Err(StoreError::Conflict { .. }) => {}
                Err(e) => return Err(stored(e)),
            }
        }
        Err(Problem::conflict("the keys change too fast; try again"))
    }

    fn add_key(&self, doc: &mut KeysDoc, by: &Actor) -> Answer<NewEvent> {
        let broken = |e: &dyn std::fmt::Display| internal("a key for statements cannot be made", e);
        let now = self.now();
        let key = SigningKey::generate().map_err(|e| broken(&e))?;
        let private = key.private().map_err(|e| broken(&e))?;
        let sealing = Sealing {
            project: "windlass".parse().map_err(|e| broken(&e))?,
            environment: None,
            name: "STATEMENT_KEY".parse().map_err(|e| broken(&e))?,
            version: doc.keys.len() as u64 + 1,
            at: now,
            by: Actor::System,
        };
        let private = self.vault.seal(sealing, &private).map_err(|e| broken(&e))?;
        for old in &mut doc.keys {
            old.replaced_at.get_or_insert(now);
            // What signs no more cannot be stolen.
            old.private = None;
        }
        let fresh = KeyDoc {
            id: key.public().id(),
            pem: key.public().to_pem(),
            created_at: now,
            replaced_at: None,
            private: Some(private),
        };
        let event = NewEvent::new(now, by.clone(), "statement_key.created", &fresh.id);
        doc.keys.insert(0, fresh);
        Ok(event)
    }

    fn opened_keys(&self, doc: &KeysDoc) -> Answer<Keys> {
        let broken = |e: &dyn std::fmt::Display| internal("the key for statements cannot be opened", e);
        let newest = doc.keys.first().and_then(|key| key.private.as_ref());
        let newest = newest.ok_or_else(|| broken(&"there is none"))?;
        let private = self.vault.open(newest).map_err(|e| broken(&e))?;
        let mut public = Vec::new();
        for key in &doc.keys {
            let pem = PublicKey::from_pem(&key.pem).map_err(|e| broken(&e))?;
            public.push((pem, key.created_at, key.replaced_at));
        }
        Ok(Keys { signing: SigningKey::from_private(&private).map_err(|e| broken(&e))?, public })
    }

    /// The public keys, newest first. They are no secret.
    pub(crate) async fn public_statement_keys(&self) -> Answer<Vec<api::StatementKey>> {
        self.statement_keys().await?;
        let doc = self.kept_keys(false, &Actor::System).await?;
        let view = |key: KeyDoc| api::StatementKey {
            id: key.id,
            pem: key.pem,
            created_at: key.created_at,
            replaced_at: key.replaced_at,
        };
        Ok(doc.keys.into_iter().map(view).collect())
    }

    /// Lets a new key take the place of the one that signs.
    pub(crate) async fn rotate_statement_key(&self, who: &Principal) -> Answer<Vec<api::StatementKey>> {
        may(who, Action::ManageUsers, &Resource::Platform)?;
        {
            let mut held = self.evidence.keys.lock().await;
            let doc = self.kept_keys(true, &who.actor).await?;
            *held = Some(Arc::new(self.opened_keys(&doc)?));
        }
        self.public_statement_keys().await
    }
}
