//! Who may pass: tokens as docker expects them (distribution project, "Token Authentication Specification").
//! A client without a credential is told where to get a token; with Basic credentials it gets one for as much of
//! the scope as it may have. Basic credentials and API bearer tokens are also taken directly.

use axum::extract::{Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use windlass_kernel::Secret;

use super::failure::Failure;
use super::{Answer, Desk, text_header};
use crate::name::is_host;
use crate::{Access, Action, Credential, Grant, RepositoryName};

const ALL: [Action; 3] = [Action::Pull, Action::Push, Action::Delete];

/// Who asks; `limits` are a registry token's grants.
struct Caller<P> {
    principal: P,
    limits: Option<Vec<Grant>>,
}

/// `GET /v2/token?service=…&scope=repository:NAME:pull,push`
pub(super) async fn token<A: Access>(State(desk): State<Desk<A>>, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    let basic = || format!("Basic realm=\"{}\"", host(&parts.headers).unwrap_or("registry"));
    let Some(credential @ Credential::Basic { .. }) = credential(&parts.headers) else {
        let why = "log in with a user's name and an API token as the password";
        return Err(Failure::unauthorized(&basic(), why));
    };
    let Some(principal) = desk.access.authenticate(&credential).await else {
        let why = "the name or the token is wrong; make a token with `windlass token create`";
        return Err(Failure::unauthorized(&basic(), why));
    };
    let scopes = super::query(&parts).into_iter().filter(|(name, _)| name == "scope");
    let mut grants = Vec::new();
    for (repository, wanted) in
        scopes.flat_map(|(_, scopes)| scopes.split(' ').filter_map(scope).collect::<Vec<_>>())
    {
        let mut actions = Vec::new();
        for action in wanted {
            if desk.access.may(&principal, action, &repository).await {
                actions.push(action);
            }
        }
        grants.push(Grant { repository, actions });
    }
    let issued = desk.access.issue(&principal, &grants).await;
    let token = issued.token.expose();
    let body = json!({ "token": token, "access_token": token, "expires_in": issued.lifetime.as_secs() });
    let mut response: Response = super::json(StatusCode::OK, &body);
    super::set(response.headers_mut(), &[("cache-control", "no-store")]);
    Ok(response)
}

/// Somebody who is known, whatever they may do.
pub(super) async fn require_anyone<A: Access>(
    desk: &Desk<A>,
    headers: &HeaderMap,
) -> Result<A::Principal, Failure> {
    recognise(desk, headers, "").await.map(|caller| caller.principal)
}

/// Somebody who may do `action` with `repository`.
pub(super) async fn require<A: Access>(
    desk: &Desk<A>,
    headers: &HeaderMap,
    action: Action,
    repository: &RepositoryName,
) -> Result<A::Principal, Failure> {
    let scope = wanted_scope(repository, action);
    let caller = recognise(desk, headers, &scope).await?;
    if !desk.access.may(&caller.principal, action, repository).await {
        let who = desk.access.actor(&caller.principal);
        return Err(Failure::denied(format!("{who} may not {} {repository}", action.as_str())));
    }
    if !within(caller.limits.as_deref(), action, repository) {
        let challenge = challenge(headers, &scope, Some("insufficient_scope"))?;
        return Err(Failure::unauthorized(
            &challenge,
            format!("this token was not made to {} {repository}", action.as_str()),
        ));
    }
    Ok(caller.principal)
}

/// Whether the caller of an authorised request may also do `action` with another repository, with the same token.
pub(super) async fn may_also<A: Access>(
    desk: &Desk<A>,
    headers: &HeaderMap,
    action: Action,
    repository: &RepositoryName,
) -> bool {
    require(desk, headers, action, repository).await.is_ok()
}

fn wanted_scope(repository: &RepositoryName, action: Action) -> String {
    let actions = match action {
        Action::Pull => "pull",
        Action::Push => "pull,push",
        Action::Delete => "delete",
    };
    format!("repository:{repository}:{actions}")
}

fn within(limits: Option<&[Grant]>, action: Action, repository: &RepositoryName) -> bool {
    limits.is_none_or(|grants| {
        grants.iter().any(|g| g.repository == *repository && g.actions.contains(&action))
    })
}

async fn recognise<A: Access>(
    desk: &Desk<A>,
    headers: &HeaderMap,
    scope: &str,
) -> Result<Caller<A::Principal>, Failure> {
    let Some(credential) = credential(headers) else {
        return Err(Failure::unauthorized(&challenge(headers, scope, None)?, "log in first"));
    };
    if let Credential::Bearer(token) = &credential
        && let Some((principal, grants)) = desk.access.verify(token.expose()).await
    {
        return Ok(Caller { principal, limits: Some(grants) });
    }
    match desk.access.authenticate(&credential).await {
        Some(principal) => Ok(Caller { principal, limits: None }),
        None => {
            let challenge = challenge(headers, scope, Some("invalid_token"))?;
            Err(Failure::unauthorized(&challenge, "the token is wrong, over or revoked"))
        }
    }
}

fn credential(headers: &HeaderMap) -> Option<Credential> {
    let (scheme, rest) = text_header(headers, header::AUTHORIZATION)?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credential::Bearer(Secret::new(rest.to_owned())));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credential::Basic { user: user.to_owned(), password: Secret::new(password.to_owned()) })
}

fn host(headers: &HeaderMap) -> Option<&str> {
    text_header(headers, header::HOST).filter(|host| is_host(host))
}

/// Where a token is to be had: at the address that the client itself used.
fn challenge(headers: &HeaderMap, scope: &str, error: Option<&str>) -> Result<String, Failure> {
    let Some(host) = host(headers) else {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the request names no valid Host"));
    };
    let secure = headers.get("x-forwarded-proto").is_some_and(|v| v.as_bytes() == b"https");
    let scheme = if secure { "https" } else { "http" };
    let mut text = format!("Bearer realm=\"{scheme}://{host}/v2/token\",service=\"{host}\"");
    if !scope.is_empty() {
        text.push_str(&format!(",scope=\"{scope}\""));
    }
    if let Some(error) = error {
        text.push_str(&format!(",error=\"{error}\""));
    }
    Ok(text)
}

/// `repository:NAME:ACTIONS`; other resource types are passed over.
fn scope(text: &str) -> Option<(RepositoryName, Vec<Action>)> {
    let (name, actions) = text.strip_prefix("repository:")?.rsplit_once(':')?;
    let wanted = |action: &Action| actions.split(',').any(|a| a == "*" || a == action.as_str());
    Some((name.parse().ok()?, ALL.into_iter().filter(wanted).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_and_strange_ones_passed_over() {
        let read = |text| scope(text).map(|(name, actions)| (name.to_string(), actions));
        assert_eq!(read("repository:a/b:pull,push"), Some(("a/b".into(), vec![Action::Pull, Action::Push])));
        assert_eq!(read("repository:a:*"), Some(("a".into(), ALL.to_vec())));
        assert_eq!(read("repository:a:fly"), Some(("a".into(), vec![])));
        for odd in ["", "registry:catalog:*", "repository:a", "repository:../a:pull"] {
            assert!(scope(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_token_reaches_no_further_than_its_grants() {
        let a: RepositoryName = "a".parse().unwrap();
        let b: RepositoryName = "b".parse().unwrap();
        let grants = [Grant { repository: a.clone(), actions: vec![Action::Pull] }];
        assert!(within(Some(&grants), Action::Pull, &a));
        assert!(!within(Some(&grants), Action::Push, &a));
        assert!(!within(Some(&grants), Action::Pull, &b));
        assert!(!within(Some(&[]), Action::Pull, &a));
        assert!(within(None, Action::Delete, &b), "an API token is not limited here");
    }
}
