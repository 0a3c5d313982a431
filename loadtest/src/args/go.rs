//! Words in the manner of Go's `flag` package, made into clap's: `-disable-keepalive`, `-n=200`, `-h2=true`.
//!
//! A word counts as a flag when it is one dash or two and a known name, perhaps with `=value`. A flag that
//! takes a value takes the next word, whatever it looks like, as in Go. All else stays as it is, so that
//! clap can say what it thinks of it.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::BadArgs;

/// What is known of a flag's name.
struct Known {
    long: String,
    value: bool,
}

pub(super) fn rewrite(
    definition: &Command,
    words: Vec<OsString>,
) -> Result<Vec<OsString>, BadArgs> {
    let mut rewritten = Vec::with_capacity(words.len());
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "--" {
            rewritten.push(word);
            rewritten.extend(words);
            break;
        }
        let Some((known, given)) = word.to_str().and_then(|word| flag(definition, word)) else {
            rewritten.push(misspelt(word));
            continue;
        };
        if known.value {
            let value = match given {
                Some(value) => OsString::from(value),
                None => words
                    .next()
                    .ok_or_else(|| BadArgs(format!("{} needs a value", word.display())))?,
            };
            let mut joined = OsString::from(format!("--{}=", known.long));
            joined.push(value);
            rewritten.push(joined);
        } else if given.map_or(Ok(true), |given| switch(&word, given))? {
            rewritten.push(format!("--{}", known.long).into());
        }
    }
    Ok(rewritten)
}

/// A long word behind one dash is a misspelt flag, not single letters side by side; `-n200` is `-n 200`.
fn misspelt(word: OsString) -> OsString {
    let long = word.to_str().and_then(|word| word.strip_prefix('-')).is_some_and(|name| {
        let mut letters = name.chars();
        letters.next().is_some_and(char::is_alphabetic)
            && letters.next().is_some_and(|second| !second.is_ascii_digit())
    });
    if !long {
        return word;
    }
    let mut double = OsString::from("-");
    double.push(word);
    double
}

/// Go's texts for a switch.
fn switch(word: &OsStr, given: &str) -> Result<bool, BadArgs> {
    match given {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(BadArgs(format!("{} is on or off: use =true or =false", word.display()))),
    }
}

/// The flag a word names, and what stands behind its `=`.
fn flag<'a>(definition: &Command, word: &'a str) -> Option<(Known, Option<&'a str>)> {
    let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?;
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    Some((known(definition, name)?, value))
}

fn known(definition: &Command, name: &str) -> Option<Known> {
    let named = |arg: &&clap::Arg| {
        let short = arg.get_short().is_some_and(|short| name.chars().eq([short]));
        let alias = arg.get_all_aliases().is_some_and(|all| all.contains(&name));
        short || alias || arg.get_long() == Some(name)
    };
    let arg = definition.get_arguments().find(named)?;
    Some(Known { long: arg.get_long()?.to_owned(), value: arg.get_action().takes_values() })
}

/// Headers whose values nobody else should read.
const SECRET_HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"];

/// The words with passwords and the like replaced.
pub(super) fn without_secrets(definition: &Command, words: &[OsString]) -> Vec<String> {
    let mut shown = Vec::with_capacity(words.len());
    let mut words = words.iter().map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let Some((known, given)) = flag(definition, &word) else {
            shown.push(without_user_info(&word));
            continue;
        };
        match (known.value, given) {
            (true, Some(value)) => {
                let name = word.split_once('=').map_or(word.as_str(), |(name, _)| name);
                shown.push(format!("{name}={}", covered(&known.long, value)));
            }
            (true, None) => {
                shown.push(word);
                shown.extend(words.next().map(|value| covered(&known.long, &value)));
            }
            (false, _) => shown.push(word),
        }
    }
    shown
}

fn covered(long: &str, value: &str) -> String {
    match long {
        "auth" => value.split_once(':').map_or("***".to_owned(), |(user, _)| format!("{user}:***")),
        "header" => match value.split_once(':') {
            Some((name, _))
                if SECRET_HEADERS.contains(&name.trim().to_ascii_lowercase().as_str()) =>
            {
                format!("{name}: ***")
            }
            _ => value.to_owned(),
        },
        "proxy" | "gateway" => without_user_info(value),
        _ => value.to_owned(),
    }
}

/// `http://user:password@host` without the password.
fn without_user_info(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://***{}", rest.get(at..).unwrap_or_default()),
        None => text.to_owned(),
    }
}
