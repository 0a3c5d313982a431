//! The file of rules: read whole, and refused with the line of what is wrong.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tidegate_core::{Decimal, FunctionId, LoadType, parse_duration};

use super::prometheus::{Login, Server, Setup};
use super::{BadRules, INTERVAL, PROPORTION, Rule, Rules};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    prometheus: Vec<Spanned<ServerEntry>>,
    rules: Vec<Spanned<RuleEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerEntry {
    name: Option<String>,
    url: Spanned<String>,
    bearer_token_file: Option<PathBuf>,
    basic_auth: Option<BasicAuth>,
    ca_file: Option<Spanned<PathBuf>>,
    timeout: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    username: String,
    password_file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleEntry {
    name: Spanned<String>,
    prometheus: Option<Spanned<String>>,
    query: Spanned<String>,
    target: Spanned<String>,
    proportion: Option<Spanned<String>>,
    interval: Option<Spanned<String>>,
    #[serde(default)]
    functions: Vec<Spanned<String>>,
}

/// What is wrong, and at which line.
type Wrong = (u64, String);

const TIMEOUT: Duration = Duration::from_secs(5);

impl Rules {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// With the first thing that is not as it should be.
    pub fn read(path: &Path) -> Result<Self, BadRules> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| BadRules::Unreadable { path: path.to_owned(), source })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let wrong = |(line, what)| BadRules::Wrong { path: path.to_owned(), line, what };
        let rules = Self::parse(&text, folder).map_err(wrong)?;
        Ok(Self { path: path.to_owned(), ..rules })
    }

    /// Reads `text`; files that it names are relative to `folder`.
    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, Wrong> {
        let document: Document = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(1, |location| location.line());
            let what = error.to_string();
            (line, what.lines().next().unwrap_or_default().to_owned())
        })?;
        let mut servers: Vec<(String, Arc<Server>)> = Vec::new();
        for entry in document.prometheus {
            let line = line_of(&entry);
            let server = server(entry.value, folder)?;
            if servers.iter().any(|(name, _)| *name == server.0) {
                return Err((line, format!("two servers have the name {:?}", server.0)));
            }
            servers.push(server);
        }
        let mut names = HashSet::new();
        let mut all = Vec::new();
        for entry in document.rules {
            let line = line_of(&entry.value.name);
            let rule = rule(entry.value, &servers)?;
            if !names.insert(Arc::clone(&rule.name)) {
                return Err((line, format!("two rules have the name {:?}", rule.name)));
            }
            all.push(rule);
        }
        Ok(Self { all: all.into(), path: PathBuf::new() })
    }
}

fn server(entry: ServerEntry, folder: &Path) -> Result<(String, Arc<Server>), Wrong> {
    let line = line_of(&entry.url);
    let at = |path: PathBuf| folder.join(path);
    let login = match (entry.bearer_token_file, entry.basic_auth) {
        (None, None) => Login::None,
        (Some(file), None) => Login::Bearer { token_file: at(file) },
        (None, Some(BasicAuth { username, password_file })) => {
            Login::Basic { username, password_file: at(password_file) }
        }
        (Some(_), Some(_)) => {
            return Err((line, "give bearer_token_file or basic_auth, not both".to_owned()));
        }
    };
    let timeout = duration(entry.timeout.as_ref(), TIMEOUT, Duration::from_millis(1))?;
    let ca_line = entry.ca_file.as_ref().map_or(line, line_of);
    let ca_file = entry.ca_file.map(|file| at(file.value));
    let setup = Setup { url: entry.url.value, login, ca_file, timeout };
    let server = Server::new(setup).map_err(|error| {
        (if error.is_about_certificates() { ca_line } else { line }, error.to_string())
    })?;
    Ok((entry.name.unwrap_or_default(), Arc::new(server)))
}

fn rule(entry: RuleEntry, servers: &[(String, Arc<Server>)]) -> Result<Rule, Wrong> {
    let name = &entry.name.value;
    if !LoadType::may_be_rule(name) {
        let words = LoadType::WORDS.join(", ");
        let why = format!(
            "{name:?} is not the name of a rule: use letters, digits, - _ and ., up to 63, and none of {words}"
        );
        return Err((line_of(&entry.name), why));
    }
    let server = match (&entry.prometheus, servers) {
        (None, [(_, server)]) => server,
        (None, _) => {
            let why = "say which server with prometheus: NAME, since there is not just one";
            return Err((line_of(&entry.name), why.to_owned()));
        }
        (Some(wanted), _) => {
            let found = servers.iter().find(|(name, _)| *name == wanted.value);
            let why = || format!("there is no server of the name {:?}", wanted.value);
            &found.ok_or_else(|| (line_of(wanted), why()))?.1
        }
    };
    if entry.query.value.trim().is_empty() {
        return Err((line_of(&entry.query), "the query is empty".to_owned()));
    }
    let functions = entry.functions.iter().map(|name| {
        FunctionId::parse(&name.value).map_err(|error| (line_of(name), error.to_string()))
    });
    Ok(Rule {
        name: name.as_str().into(),
        server: Arc::clone(server),
        functions: functions.collect::<Result<_, _>>()?,
        target: number(&entry.target)?,
        proportion: entry.proportion.as_ref().map_or(Ok(PROPORTION), number)?,
        interval: duration(entry.interval.as_ref(), INTERVAL, Duration::from_secs(1))?,
        line: line_of(&entry.query),
        query: entry.query.value,
    })
}

fn number(text: &Spanned<String>) -> Result<Decimal, Wrong> {
    let number = text.value.parse().ok().filter(|number: &Decimal| !number.is_zero());
    let why = || format!("{:?} is not a number above 0, such as 100 or 0.9", text.value);
    number.ok_or_else(|| (line_of(text), why()))
}

fn duration(
    text: Option<&Spanned<String>>,
    default: Duration,
    least: Duration,
) -> Result<Duration, Wrong> {
    const MOST: Duration = Duration::from_secs(3600);
    let Some(text) = text else { return Ok(default) };
    let span = parse_duration(&text.value).ok().filter(|span| (least..=MOST).contains(span));
    let why = || format!("{:?} is not a duration from {least:?} to 1h, such as 15s", text.value);
    span.ok_or_else(|| (line_of(text), why()))
}

fn line_of<T>(spanned: &Spanned<T>) -> u64 {
    spanned.referenced.line()
}
