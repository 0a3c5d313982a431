//! Logins at registries, as `docker login` keeps them: in a `config.json`, or with a helper program that the
//! file names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::secrets::RegistryAuth;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tracing::warn;

use super::registries::Registries;

/// The key of Docker Hub in these files.
const HUB: &str = "index.docker.io";
/// The user's name that helpers give with a token instead of a password.
const TOKEN: &str = "<token>";
/// Longest that a helper may take.
const LONGEST_HELP: Duration = Duration::from_secs(30);

/// A login.
#[derive(Clone)]
pub(crate) struct Login {
    /// What is sent.
    pub(crate) auth: RegistryAuth,
    /// What is exchanged for something to be sent, where there is no password.
    pub(crate) identity: Option<String>,
    /// Who that is and where it was found, in words; none when nobody.
    pub(crate) who: Option<String>,
}

/// A file of `docker login`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

/// What is known of a host.
enum Found {
    /// A user and a password.
    Password(String, String),
    /// A token that stands for a user, and is good only to ask for others.
    Identity(String),
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login for `host` of the first file that has one; else nobody's. What cannot be read is warned of.
pub(crate) async fn find(registries: &Registries, host: &str) -> Login {
    for path in &registries.logins {
        match look(registries, path, host).await {
            Ok(Some(Found::Password(user, password))) => {
                let who = Some(format!("{user} (from {})", path.display()));
                return Login { auth: RegistryAuth::Basic(user, password), identity: None, who };
            }
            Ok(Some(Found::Identity(token))) => {
                let who = Some(format!("whom the identity token in {} stands for", path.display()));
                return Login { auth: RegistryAuth::Anonymous, identity: Some(token), who };
            }
            Ok(None) => {}
            Err(why) => warn!(registry = host, "a login is passed over: {why}"),
        }
    }
    Login { auth: RegistryAuth::Anonymous, identity: None, who: None }
}

async fn look(registries: &Registries, path: &Path, host: &str) -> Result<Option<Found>, String> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    // What serde says of a bad value may show it.
    let config: DockerConfig = serde_json::from_slice(&bytes)
        .map_err(|bad| format!("{} is damaged at line {}", path.display(), bad.line()))?;
    let special = config.cred_helpers.iter().find(|(key, _)| is_of(key, host));
    if let Some(helper) = special.map(|(_, helper)| helper).or(config.creds_store.as_ref())
        && let Some(found) = ask_helper(registries, helper, &config, host).await?
    {
        return Ok(Some(found));
    }
    match config.auths.iter().find(|(key, _)| is_of(key, host)) {
        Some((key, entry)) => {
            entry.login().map_err(|why| format!("{}: {key}: {why}", path.display()))
        }
        None => Ok(None),
    }
}

impl Entry {
    fn login(&self) -> Result<Option<Found>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Found::Identity(self.identitytoken.clone())));
        }
        if self.auth.is_empty() {
            let named = !self.username.is_empty();
            let found = || Found::Password(self.username.clone(), self.password.clone());
            return Ok(named.then(found));
        }
        let plain =
            STANDARD.decode(&self.auth).ok().and_then(|plain| String::from_utf8(plain).ok());
        let plain = plain.ok_or("auth is not base64")?;
        let (user, password) =
            plain.split_once(':').ok_or("auth is not USER:PASSWORD in base64")?;
        // Old versions of Docker end it with zeros.
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Found::Password(user.to_owned(), password)))
    }
}

/// Asks `docker-credential-HELPER`.
async fn ask_helper(
    registries: &Registries,
    helper: &str,
    config: &DockerConfig,
    host: &str,
) -> Result<Option<Found>, String> {
    if helper.is_empty() || helper.contains('/') {
        return Err(format!("{helper:?} is not the name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    // Helpers know a host by the key under which it was logged in.
    let key = config.auths.keys().find(|key| is_of(key, host)).cloned();
    let key = key.unwrap_or_else(|| match host {
        HUB | "docker.io" => format!("https://{HUB}/v1/"),
        other => other.to_owned(),
    });
    let path =
        registries.helpers.as_ref().map_or_else(|| PathBuf::from(&program), |it| it.join(&program));
    let asking = tokio::time::timeout(LONGEST_HELP, run(&path, &key)).await;
    let output = asking
        .map_err(|_| format!("{program} gives no answer"))?
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return if said.contains("credentials not found") {
            Ok(None)
        } else {
            Err(format!("{program} failed: {}", said.trim()))
        };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{program} gives an answer that is none"))?;
    if answer.username == TOKEN {
        return Ok(Some(Found::Identity(answer.secret)));
    }
    Ok(Some(Found::Password(answer.username, answer.secret)))
}

async fn run(program: &Path, key: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read may have ended already.
        let _ = input.write_all(key.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// Whether a key of the file is of this host. Keys may be addresses.
fn is_of(key: &str, host: &str) -> bool {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    let key = key.split('/').next().unwrap_or(key);
    let hub = |name: &str| matches!(name, "docker.io" | HUB | "registry-1.docker.io");
    key == host || hub(key) && hub(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> (tempfile::TempDir, Registries) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut registries = Registries { logins: Vec::new(), ..Registries::default() };
        for (number, text) in texts.iter().enumerate() {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, text).expect("a file");
            registries.logins.push(path);
        }
        registries.helpers = Some(folder.path().to_owned());
        (folder, registries)
    }

    async fn login(registries: &Registries, host: &str) -> Option<(String, String)> {
        match find(registries, host).await.auth {
            RegistryAuth::Basic(user, password) => Some((user, password)),
            _ => None,
        }
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[tokio::test]
    async fn the_first_file_that_knows_the_host_gives_the_login() {
        // bWU6YTpi is me:a:b, eW91OmM= is you:c.
        let (_folder, mut registries) = files(&[
            r#"{"auths": {"one:5000": {"auth": "bWU6YTpi"}, "https://index.docker.io/v1/": {"auth": "eW91OmM="}}}"#,
            r#"{"auths": {"https://one:5000/v2/": {"auth": "eW91OmM="}, "two": {"username": "x", "password": "y"}}}"#,
        ]);
        registries.logins.insert(0, "/no/such/file".into());
        assert_eq!(login(&registries, "one:5000").await, pair("me", "a:b"));
        assert_eq!(login(&registries, "docker.io").await, pair("you", "c"));
        assert_eq!(login(&registries, "two").await, pair("x", "y"));
        assert_eq!(login(&registries, "one").await, None, "another port is another registry");
        let who = find(&registries, "one:5000").await.who.expect("somebody");
        assert!(who.starts_with("me (from ") && !who.contains("a:b"), "{who}");
    }

    #[tokio::test]
    async fn damaged_files_are_passed_over() {
        let (_folder, registries) = files(&[
            r#"{"auths": {"one": "#,
            r#"{"auths": {"one": {"auth": "???"}}}"#,
            r#"{"auths": {"one": {"auth": "eW91OmM="}}}"#,
        ]);
        assert_eq!(login(&registries, "one").await, pair("you", "c"));
    }

    #[tokio::test]
    async fn an_identity_token_comes_before_what_is_in_the_place_of_a_password() {
        // PHRva2VuPjo= is <token>: without a password.
        let (_folder, registries) =
            files(&[r#"{"auths": {"one": {"auth": "PHRva2VuPjo=", "identitytoken": "long"}}}"#]);
        let found = find(&registries, "one").await;
        assert_eq!(found.identity.as_deref(), Some("long"));
        assert!(found.who.is_some_and(|who| !who.contains("long")), "it is a secret");
    }

    #[tokio::test]
    async fn helpers_are_asked_for_their_hosts() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, registries) = files(&[
            r#"{"credHelpers": {"one": "safe", "two": "safe", "gone": "missing", "bad": "../safe"}, "auths": {"gone": {"auth": "eW91OmM="}}}"#,
        ]);
        let script = "#!/bin/sh\nread -r host\n[ \"$1\" = get ] || exit 1\n\
            case $host in one) user=me ;; two) user='<token>' ;; *) exit 1 ;; esac\n\
            echo '{\"ServerURL\":\"one\",\"Username\":\"'$user'\",\"Secret\":\"s\"}'\n";
        let path = folder.path().join("docker-credential-safe");
        std::fs::write(&path, script).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("our file");
        assert_eq!(login(&registries, "one").await, pair("me", "s"));
        assert_eq!(find(&registries, "two").await.identity.as_deref(), Some("s"));
        assert_eq!(login(&registries, "gone").await, None);
        assert_eq!(login(&registries, "bad").await, None);
    }
}
