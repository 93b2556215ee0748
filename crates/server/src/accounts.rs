//! Accounts, tokens, sessions: looking credentials up and writing them down.

use windlass_api as api;
use windlass_api::{ErrorCode, Problem};
use windlass_identity::{
    Action, JobToken, JobUse, PasswordHash, Principal, Resource, Role, RunnerToken, Scope, Session,
    SetupLink, Token, TokenKind, TokenText, User, is_runtime_token, runtime_token_hash, verify_password,
};
use windlass_kernel::{Actor, Batch, NewEvent, Query, Secret, StoreExt as _, TokenId, UserId, UserName};
use windlass_web::Credential;

use crate::context::{Context, internal, may, parse, stored};
use crate::data_dir::write_private;

/// The account that acts for whoever owns the data directory.
pub(crate) const OWNER: &str = "admin";
/// The runner that `windlass up` starts itself.
pub(crate) const LOCAL_RUNNER: &str = "local";

type Answer<T> = Result<T, Problem>;

impl Context {
    /// On the first start: the owner's account (nobody knows its password) and the one-time set-up link. On every
    /// start: fresh tokens in the data directory for the owner's command line and for the local runner.
    pub(crate) async fn prepare_accounts(&self) -> anyhow::Result<()> {
        let owner: UserName = OWNER.parse()?;
        let now = self.now();
        if self.store.get::<User>(OWNER).await?.is_none() {
            let mut unknown = [0u8; 32];
            self.entropy.fill(&mut unknown);
            let password = Secret::new(hex::encode(unknown));
            let user = User::new(
                UserId::new(&self.ids),
                owner.clone(),
                Role::Admin,
                &password,
                now,
                &*self.entropy,
            )?;
            let (link, _) = SetupLink::issue(now, &*self.entropy);
            let event = NewEvent::new(now, Actor::System, "platform.initialised", "windlass");
            self.commit(Batch::new().create(&user).put(&link).event(event)).await?;
        }
        self.renew_setup_link().await?;
        self.renew_local_token(&owner).await?;
        self.renew_runner_token().await
    }

    /// While nobody has used it there is a link that works: its text may have been lost to a crash, or be too old.
    async fn renew_setup_link(&self) -> anyhow::Result<()> {
        let Some(known) = self.store.get::<SetupLink>("setup").await? else { return Ok(()) };
        let path = self.data.run("setup.token");
        if kept_token(&path).is_some_and(|text| known.value.verify(&text, self.now()).is_ok()) {
            return Ok(());
        }
        let (link, text) = SetupLink::issue(self.now(), &*self.entropy);
        self.commit(Batch::new().update(&link, known.version)).await?;
        write_private(&path, text.expose().as_bytes())
    }

    async fn renew_local_token(&self, owner: &UserName) -> anyhow::Result<()> {
        // Kept across restarts: a command that follows something must not lose its credential with control.
        let path = self.data.run("local.token");
        if let Some(text) = kept_token(&path)
            && self.store.get::<Token>(&text.hash()).await?.is_some()
        {
            return Ok(());
        }
        const LABEL: &str = "command line on this machine";
        let mut batch = Batch::new();
        let query = Query { parent: Some(owner.to_string()), ..Query::default() };
        for old in self.store.list::<Token>(&query).await? {
            if old.value.label == LABEL {
                batch = batch.delete::<Token>(&old.value.hash);
            }
        }
        let (token, text) = Token::issue(TokenId::new(&self.ids), owner, LABEL, self.now(), &*self.entropy);
        self.commit(batch.create(&token)).await?;
        write_private(&path, text.expose().as_bytes())
    }

    async fn renew_runner_token(&self) -> anyhow::Result<()> {
        // Kept across restarts: the runner may hold a lease with it.
        let path = self.data.run("runner.token");
        if let Some(text) = kept_token(&path)
            && self.store.get::<RunnerToken>(&text.hash()).await?.is_some()
        {
            return Ok(());
        }
        let (token, text) = RunnerToken::issue(LOCAL_RUNNER, self.now(), &*self.entropy);
        self.commit(Batch::new().create(&token)).await?;
        write_private(&path, text.expose().as_bytes())
    }

    pub(crate) async fn needs_setup(&self) -> Answer<bool> {
        Ok(self.store.get::<SetupLink>("setup").await.map_err(stored)?.is_some())
    }

    /// Who shows this credential.
    pub(crate) async fn authenticate(&self, credential: &Credential) -> Answer<Option<Principal>> {
        match credential {
            Credential::Bearer(text) => self.by_token(text.expose()).await,
            Credential::Basic(user, secret) => match self.by_token(secret.expose()).await? {
                Some(principal) => Ok(Some(principal)),
                None => self.by_password(user, secret).await,
            },
            Credential::Session(text) => self.by_session(text.expose()).await,
        }
    }

    async fn by_token(&self, text: &str) -> Answer<Option<Principal>> {
        if is_runtime_token(text) {
            let token = self.store.get::<JobToken>(&runtime_token_hash(text)).await.map_err(stored)?;
            return Ok(token.and_then(|t| t.value.verify_runtime(text, self.now()).ok()));
        }
        let Ok(text) = TokenText::parse(text) else { return Ok(None) };
        let (hash, now) = (text.hash(), self.now());
        Ok(match text.kind() {
            TokenKind::User => {
                let Some(token) = self.store.get::<Token>(&hash).await.map_err(stored)? else {
                    return Ok(None);
                };
                let user = self.store.get::<User>(token.value.user.as_str()).await.map_err(stored)?;
                user.and_then(|user| token.value.verify(&text, &user.value).ok())
            }
            TokenKind::Job => {
                let token = self.store.get::<JobToken>(&hash).await.map_err(stored)?;
                let principal = token.and_then(|t| t.value.verify(&text, now).ok());
                match principal {
                    // Only what the unit tells of itself may come late: what its steps had ends with the job.
                    Some(who) if !is_unit(&who) && !self.at_work(&who).await => None,
                    principal => principal,
                }
            }
            TokenKind::Runner => {
                let token = self.store.get::<RunnerToken>(&hash).await.map_err(stored)?;
                token.and_then(|t| t.value.verify(&text).ok())
            }
            TokenKind::Session | TokenKind::Setup => None,
        })
    }

    async fn by_session(&self, text: &str) -> Answer<Option<Principal>> {
        let Ok(text) = TokenText::parse(text) else { return Ok(None) };
        let Some(session) = self.store.get::<Session>(&text.hash()).await.map_err(stored)? else {
            return Ok(None);
        };
        let Some(user) = self.store.get::<User>(session.value.user.as_str()).await.map_err(stored)? else {
            return Ok(None);
        };
        let principal = session.value.verify(&text, &user.value, self.now()).ok();
        if principal.is_some()
            && let Some(renewed) = session.value.renewed(self.now())
        {
            // Losing a race here only means that another request renewed it.
            let _ = self.commit(Batch::new().update(&renewed, session.version)).await;
        }
        Ok(principal)
    }

    async fn by_password(&self, name: &str, password: &Secret<String>) -> Answer<Option<Principal>> {
        let user = match name.parse::<UserName>() {
            Ok(name) => self.store.get::<User>(name.as_str()).await.map_err(stored)?,
            Err(_) => None,
        };
        let password = password.clone();
        let _turn =
            self.locks.hashing.acquire().await.map_err(|e| internal("cannot check a password", &e))?;
        // Hashing is slow on purpose, and as slow for an unknown name.
        let checked = tokio::task::spawn_blocking(move || {
            let hash = user.as_ref().map(|u| &u.value.password);
            verify_password(hash, &password).then(|| user.map(|u| u.value.principal())).flatten()
        });
        checked.await.map_err(|e| internal("cannot check a password", &e))
    }

    pub(crate) async fn sign_in(&self, name: &str, password: &Secret<String>) -> Answer<Secret<String>> {
        let Some(principal) = self.by_password(name, password).await? else {
            return Err(Problem::new(ErrorCode::Unauthenticated, "the name or the password is wrong"));
        };
        let Actor::User(user) = &principal.actor else {
            return Err(Problem::forbidden("only people sign in"));
        };
        self.begin_session(user, Batch::new()).await
    }

    async fn begin_session(&self, user: &UserName, batch: Batch) -> Answer<Secret<String>> {
        let (session, text) = Session::begin(user, self.now(), &*self.entropy);
        let event = NewEvent::new(self.now(), Actor::User(user.clone()), "user.signed_in", user);
        self.commit(batch.create(&session).event(event)).await.map_err(stored)?;
        Ok(text.secret())
    }

    pub(crate) async fn sign_out(&self, cookie: &Secret<String>) -> Answer<()> {
        let Ok(text) = TokenText::parse(cookie.expose()) else { return Ok(()) };
        self.commit(Batch::new().delete::<Session>(text.hash())).await.map_err(stored)?;
        Ok(())
    }

    pub(crate) async fn check_setup(&self, link: &Secret<String>) -> Answer<()> {
        const GONE: &str =
            "this set-up link was used or has expired; restart Windlass for a new one if nobody used it";
        let known = self.store.get::<SetupLink>("setup").await.map_err(stored)?;
        let text = TokenText::parse(link.expose()).map_err(|_| Problem::forbidden(GONE))?;
        match known {
            Some(known) if known.value.verify(&text, self.now()).is_ok() => Ok(()),
            _ => Err(Problem::forbidden(GONE)),
        }
    }

    pub(crate) async fn setup(
        &self,
        link: &Secret<String>,
        name: &str,
        password: &Secret<String>,
    ) -> Answer<Secret<String>> {
        self.check_setup(link).await?;
        let standing = self.store.get::<SetupLink>("setup").await.map_err(stored)?;
        let standing = standing.ok_or_else(|| Problem::forbidden("this set-up link was used just now"))?;
        let name: UserName = parse(name)?;
        let now = self.now();
        // Written before it is removed: of two that use it at the same time one is refused.
        let mut batch = Batch::new().update(&standing.value, standing.version).delete::<SetupLink>("setup");
        let existing = self.store.get::<User>(name.as_str()).await.map_err(stored)?;
        let hash =
            PasswordHash::new(password, &*self.entropy).map_err(|e| Problem::invalid(e.to_string()))?;
        batch = match existing {
            Some(found) => {
                let mut user = found.value;
                user.password = hash;
                user.role = Role::Admin;
                batch.update(&user, found.version)
            }
            None => {
                let id = UserId::new(&self.ids);
                let user = User::new(id, name.clone(), Role::Admin, password, now, &*self.entropy);
                batch.create(&user.map_err(|e| Problem::invalid(e.to_string()))?)
            }
        };
        let event = NewEvent::new(now, Actor::User(name.clone()), "platform.set_up", &name);
        let cookie = self.begin_session(&name, batch.event(event)).await?;
        let _ = std::fs::remove_file(self.data.run("setup.token"));
        Ok(cookie)
    }

    /// Forgets the sessions that have expired.
    pub(crate) async fn end_sessions(&self) -> Result<(), windlass_kernel::StoreError> {
        let now = self.now();
        let over = |s: &Session| s.expires_at <= now;
        let sessions = self.store.list::<Session>(&Query::default()).await?;
        let batch = sessions
            .iter()
            .filter(|s| over(&s.value))
            .fold(Batch::new(), |batch, s| batch.delete::<Session>(&s.value.hash));
        if !batch.writes.is_empty() {
            self.commit(batch).await?;
        }
        Ok(())
    }

    pub(crate) async fn users(&self, who: &Principal) -> Answer<Vec<api::UserView>> {
        may(who, Action::ManageUsers, &Resource::Platform)?;
        let users = self.store.list::<User>(&Query::default()).await.map_err(stored)?;
        Ok(users.into_iter().map(|u| view(&u.value)).collect())
    }

    pub(crate) async fn create_user(
        &self,
        who: &Principal,
        wanted: api::CreateUser,
    ) -> Answer<api::UserView> {
        may(who, Action::ManageUsers, &Resource::Platform)?;
        let name: UserName = parse(&wanted.name)?;
        let role: Role = parse(&wanted.role)?;
        let id = UserId::new(&self.ids);
        let user = User::new(id, name.clone(), role, &wanted.password, self.now(), &*self.entropy);
        let user = user.map_err(|e| Problem::invalid(e.to_string()))?;
        let event = NewEvent::new(self.now(), who.actor.clone(), "user.created", &name)
            .data(serde_json::json!({"role": wanted.role}));
        match self.commit(Batch::new().create(&user).event(event)).await {
            Ok(_) => Ok(view(&user)),
            Err(windlass_kernel::StoreError::Conflict { .. }) => {
                Err(Problem::conflict(format!("there is an account {name} already")))
            }
            Err(e) => Err(stored(e)),
        }
    }

    pub(crate) async fn tokens(&self, who: &Principal) -> Answer<Vec<api::TokenView>> {
        let user = person(who)?;
        let query = Query { parent: Some(user.to_string()), ..Query::default() };
        let tokens = self.store.list::<Token>(&query).await.map_err(stored)?;
        Ok(tokens.into_iter().map(|t| token_view(&t.value)).collect())
    }

    pub(crate) async fn create_token(
        &self,
        who: &Principal,
        wanted: api::CreateToken,
    ) -> Answer<api::CreatedToken> {
        let user = person(who)?;
        let id = TokenId::new(&self.ids);
        let (token, text) = Token::issue(id, &user, &wanted.label, self.now(), &*self.entropy);
        let event = NewEvent::new(self.now(), who.actor.clone(), "token.created", id)
            .data(serde_json::json!({"label": token.label}));
        self.commit(Batch::new().create(&token).event(event)).await.map_err(stored)?;
        Ok(api::CreatedToken { token: token_view(&token), secret: text.secret() })
    }

    pub(crate) async fn revoke_token(&self, who: &Principal, id: &str) -> Answer<()> {
        let user = person(who)?;
        let query = Query { parent: Some(user.to_string()), ..Query::default() };
        let tokens = self.store.list::<Token>(&query).await.map_err(stored)?;
        let token = tokens.into_iter().find(|t| t.value.token.to_string() == id);
        let token = token.ok_or_else(|| Problem::not_found(format!("there is no token {id} of yours")))?;
        let event = NewEvent::new(self.now(), who.actor.clone(), "token.revoked", id);
        self.commit(Batch::new().delete::<Token>(&token.value.hash).event(event)).await.map_err(stored)?;
        Ok(())
    }
}

fn is_unit(who: &Principal) -> bool {
    matches!(who.scope, Scope::Job { usage: JobUse::Unit | JobUse::UntrustedUnit, .. })
}

fn person(who: &Principal) -> Answer<UserName> {
    may(who, Action::ManageOwnAccount, &Resource::Platform)?;
    match &who.actor {
        Actor::User(name) => Ok(name.clone()),
        _ => Err(Problem::forbidden("only people have tokens of their own")),
    }
}

/// A token that an earlier start left in a file.
fn kept_token(path: &std::path::Path) -> Option<TokenText> {
    TokenText::parse(std::fs::read_to_string(path).ok()?.trim()).ok()
}

fn view(user: &User) -> api::UserView {
    api::UserView { name: user.name.to_string(), role: user.role.to_string(), created_at: user.created_at }
}

fn token_view(token: &Token) -> api::TokenView {
    api::TokenView {
        id: token.token.to_string(),
        label: token.label.clone(),
        user: token.user.to_string(),
        created_at: token.created_at,
    }
}
