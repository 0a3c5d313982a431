//! The password of a gateway: who gave it, and which to try first.
//!
//! What the user says now (stdin, `TIDEGATE_PASSWORD`) stands alone. Otherwise the password that
//! `tidegate up` keeps in its state directory is tried for a gateway on this machine, then what
//! `faas-cli login` left behind for exactly this address. A password never comes from an argument.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde::Deserialize;
use tidegate_core::Vars;

use super::GatewayUrl;
use crate::cli::failure::{Exit, Failure};

/// The user when nobody says otherwise, as in OpenFaaS.
const ADMIN: &str = "admin";

/// Longest password file that is read.
const LONGEST: u64 = 64 << 10;

/// A user's password, and where it was found. Prints without it.
pub struct Credential {
    token: String,
    source: String,
}

/// All credentials worth trying, in order.
#[derive(Debug, Default)]
pub struct Sources {
    found: Vec<Credential>,
}

/// faas-cli's `config.yml`, what of it matters here.
#[derive(Deserialize)]
struct FaasConfig {
    #[serde(default)]
    auths: Vec<FaasAuth>,
}

#[derive(Deserialize)]
struct FaasAuth {
    #[serde(default)]
    gateway: String,
    #[serde(default)]
    auth: String,
    #[serde(default)]
    token: String,
}

impl Credential {
    fn new(user: &str, password: &str, source: impl Into<String>) -> Self {
        Self { token: STANDARD.encode(format!("{user}:{password}")), source: source.into() }
    }

    /// The `Authorization` header.
    pub fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::try_from(format!("Basic {}", self.token))
            .expect("base64 is made of visible ASCII");
        value.set_sensitive(true);
        value
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Sources {
    /// Looks for credentials for the gateway at `url`.
    pub fn look(
        url: &GatewayUrl,
        vars: &Vars,
        state_dir: Option<&Path>,
        password_stdin: bool,
    ) -> Result<Self, Failure> {
        let user = vars.get("TIDEGATE_USER").unwrap_or(ADMIN);
        if password_stdin {
            let password = password_from_stdin()?;
            return Ok(Self { found: vec![Credential::new(user, &password, "--password-stdin")] });
        }
        if let Some(password) = vars.get("TIDEGATE_PASSWORD") {
            return Ok(Self { found: vec![Credential::new(user, password, "TIDEGATE_PASSWORD")] });
        }
        let mut found = Vec::new();
        if url.is_local() {
            found.extend(state_dir.and_then(|dir| from_state_dir(user, dir)));
        }
        found.extend(faas_config(vars).and_then(|path| from_faas_config(url, &path)));
        Ok(Self { found })
    }

    /// The credentials, best first.
    pub fn all(&self) -> &[Credential] {
        &self.found
    }

    /// The failure when the gateway took none of them.
    pub fn refused(&self, url: &GatewayUrl) -> Failure {
        let help = "set TIDEGATE_PASSWORD, or pipe it in with --password-stdin; `tidegate up` keeps it in STATE_DIR/password";
        if self.found.is_empty() {
            return Failure::new(
                Exit::NotAllowed,
                format!("the gateway at {url} wants a password"),
            )
            .because("none was given and none was found")
            .help(help);
        }
        let tried: Vec<&str> = self.found.iter().map(|found| found.source.as_str()).collect();
        Failure::new(Exit::NotAllowed, format!("the gateway at {url} refused the password"))
            .because(format!("it came from {}", tried.join(" and ")))
            .help(help)
    }
}

fn password_from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(LONGEST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage("cannot read the password from stdin").because(error))?;
    let password = text.trim();
    if password.is_empty() {
        return Err(Failure::usage("--password-stdin: stdin held no password")
            .help("pipe it in, such as: tidegate list --password-stdin < password.txt"));
    }
    Ok(password.to_owned())
}

/// Unreadable is as good as absent here: another user's gateway keeps its password to itself, and
/// the gateway's refusal then says what to do.
fn from_state_dir(user: &str, dir: &Path) -> Option<Credential> {
    let path = dir.join("password");
    let text = read_small(&path)?;
    let password = text.trim();
    (!password.is_empty()).then(|| Credential::new(user, password, path.display().to_string()))
}

fn faas_config(vars: &Vars) -> Option<PathBuf> {
    let dir = match vars.get("OPENFAAS_CONFIG") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(vars.get("HOME")?).join(".openfaas"),
    };
    Some(dir.join("config.yml"))
}

fn from_faas_config(url: &GatewayUrl, path: &Path) -> Option<Credential> {
    let config: FaasConfig = serde_saphyr::from_str(&read_small(path)?).ok()?;
    let ours = |auth: &&FaasAuth| {
        auth.auth == "basic"
            && auth.gateway.trim_end_matches('/').eq_ignore_ascii_case(url.as_str())
    };
    let auth = config.auths.iter().find(ours)?;
    // Decoded only to know that it is a token and fit for a header.
    STANDARD.decode(&auth.token).ok()?;
    Some(Credential { token: auth.token.clone(), source: path.display().to_string() })
}

fn read_small(path: &Path) -> Option<String> {
    let file = std::fs::File::open(path).ok()?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(url: &str, dir: &Path, vars: &[(&str, &str)]) -> Vec<(String, HeaderValue)> {
        let mut all: Vec<(String, String)> =
            vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        all.push(("HOME".to_owned(), dir.display().to_string()));
        let url = GatewayUrl::parse(url).expect("an address");
        let vars = all.into_iter().collect();
        let found = Sources::look(&url, &vars, Some(dir), false).expect("nothing to refuse").found;
        found.iter().map(|found| (found.source.clone(), found.header())).collect()
    }

    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("password"), "s3cret\n").expect("written");
        std::fs::create_dir(home.path().join(".openfaas")).expect("made");
        let config = "auths:\n- gateway: http://127.0.0.1:8080\n  auth: basic\n  token: YWRtaW46b2xk\n  options: {}\n";
        std::fs::write(home.path().join(".openfaas/config.yml"), config).expect("written");
        home
    }

    #[test]
    fn the_environment_stands_alone() {
        let home = home();
        let found = sources("http://127.0.0.1:8080", home.path(), &[("TIDEGATE_PASSWORD", "p")]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1, "Basic YWRtaW46cA==");
    }

    #[test]
    fn a_local_gateway_gets_the_state_directorys_password_then_faas_clis() {
        let home = home();
        let found = sources("http://127.0.0.1:8080", home.path(), &[]);
        assert_eq!(found[0].1, "Basic YWRtaW46czNjcmV0");
        assert_eq!(found[1].1, "Basic YWRtaW46b2xk");
    }

    #[test]
    fn a_remote_gateway_never_gets_the_local_password() {
        let home = home();
        assert!(sources("http://gateway.example:8080", home.path(), &[]).is_empty());
    }
}
