//! Identity tokens: what `docker login` keeps for some registries instead of a password. One is exchanged for a
//! token that opens a repository, at the place that the registry names.
//!
//! Source: "Docker Registry v2 OAuth2 token authentication" in the documentation of the distribution project.

use http_auth::parse_challenges;
use serde::Deserialize;

/// Who we are to servers of tokens.
const CLIENT: &str = "tidegate";

/// Where tokens are exchanged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) realm: String,
    /// What for, in the registry's words.
    service: Option<String>,
}

/// What such a place answers; some name the token by its older name.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    token: String,
}

/// Reads where a registry wants tokens to be exchanged. A secret does not leave `encrypted` for plain HTTP.
pub(crate) fn place(challenge: &str, encrypted: bool) -> Result<Place, String> {
    let challenges =
        parse_challenges(challenge).map_err(|_| "it asks for nothing known".to_owned())?;
    let bearer = challenges.into_iter().find(|it| it.scheme.eq_ignore_ascii_case("bearer"));
    let bearer = bearer.ok_or("it takes passwords only, and there is only an identity token")?;
    let parameter = |name: &str| {
        let mut all = bearer.params.iter();
        all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_unescaped())
    };
    let realm = parameter("realm").ok_or("it does not say where tokens are exchanged")?;
    let plain = realm.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if encrypted && plain {
        return Err("it wants identity tokens to be sent without TLS".to_owned());
    }
    Ok(Place { realm, service: parameter("service") })
}

impl Place {
    /// What is sent there.
    pub(crate) fn form(&self, repository: &str, identity: &str) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", CLIENT.to_owned()),
            ("scope", format!("repository:{repository}:pull")),
            ("refresh_token", identity.to_owned()),
        ];
        form.extend(self.service.clone().map(|service| ("service", service)));
        form
    }
}

/// The token in an answer.
pub(crate) fn token(body: &[u8]) -> Option<String> {
    let Answer { access_token, token } = serde_json::from_slice(body).ok()?;
    [access_token, token].into_iter().find(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_and_secrets_stay_encrypted() {
        let challenge =
            r#"Basic realm="x", Bearer realm="https://t.example/token",service="r.example""#;
        let found = place(challenge, true).expect("a place");
        assert_eq!(found.realm, "https://t.example/token");
        assert!(found.form("a/b", "s").contains(&("service", "r.example".to_owned())));
        let plain = r#"Bearer realm="HTTP://t.example/token""#;
        assert!(place(plain, false).is_ok());
        assert!(place(plain, true).expect_err("a secret").contains("without TLS"));
        assert!(place("Basic realm=x", true).expect_err("no place").contains("passwords only"));
        assert!(place("", true).is_err());
    }

    #[test]
    fn both_names_of_a_token_are_read() {
        assert_eq!(token(br#"{"access_token": "a", "expires_in": 300}"#).as_deref(), Some("a"));
        assert_eq!(token(br#"{"token": "b"}"#).as_deref(), Some("b"));
        assert_eq!(token(b"{}"), None);
    }
}
