//! `tidegate secret`: keeps secrets that functions read as files.
//!
//! A value comes from stdin or a file, never from an argument, where every user of the machine and
//! the shell's history would see it. Text loses white space at its ends, as with faas-cli; bytes that
//! are no text go as they are.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use http::{Method, StatusCode};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Deserialize;
use serde_json::Value;
use tidegate_api::Secret;

use super::Context;
use super::failure::{Exit, Failure};
use crate::output::Align;

/// Largest secret, as in Kubernetes.
const LARGEST: usize = 1 << 20;

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keeps a new secret; its value comes from stdin or a file
    #[command(after_help = "Example:  openssl rand -hex 16 | tidegate secret create api-key")]
    Create {
        #[command(flatten)]
        value: ValueArgs,
        /// Replaces the secret if there is one
        #[arg(long)]
        replace: bool,
    },
    /// Gives a secret a new value; functions see it without a restart
    Update {
        #[command(flatten)]
        value: ValueArgs,
    },
    /// Lists the names of secrets
    #[command(visible_alias = "ls")]
    List,
    /// Forgets secrets
    #[command(visible_aliases = ["rm", "delete"])]
    Remove {
        /// Which secrets
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// A secret's name, and where its value is.
#[derive(Debug, clap::Args)]
pub struct ValueArgs {
    /// Its name
    name: String,
    /// A file with the value; stdin without it
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
    /// Keeps white space at the ends of the value
    #[arg(long)]
    no_trim: bool,
}

/// Does it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { value, replace } => create(context, &value, replace).await,
        Command::Update { value } => update(context, &value).await,
        Command::List => list(context).await,
        Command::Remove { names } => remove(context, &names).await,
    }
}

async fn create(context: &Context, args: &ValueArgs, replace: bool) -> Result<(), Failure> {
    let gateway = context.gateway()?;
    let body = body(context, args)?;
    let name = &args.name;
    let answer = gateway.call(Method::POST, "/system/secrets", Some(&body)).await?;
    if answer.status() == StatusCode::CONFLICT {
        if !replace {
            return Err(Failure::failed(format!("secret {name} exists already"))
                .help(format!("give it a new value with: tidegate secret update {name}")));
        }
        let answer = gateway.call(Method::PUT, "/system/secrets", Some(&body)).await?;
        answer.success(&format!("replace secret {name}"))?;
        context.output.done("Replaced", &format!("secret {name}"));
        return Ok(());
    }
    answer.success(&format!("keep secret {name}"))?;
    context.output.done("Kept", &format!("secret {name}"));
    context.next(&format!("tidegate deploy -f stack.yml --secret {name}"));
    Ok(())
}

async fn update(context: &Context, args: &ValueArgs) -> Result<(), Failure> {
    let name = &args.name;
    let body = body(context, args)?;
    let answer = context.gateway()?.call(Method::PUT, "/system/secrets", Some(&body)).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Err(Failure::new(Exit::NotFound, format!("there is no secret {name}"))
            .help(format!("make it with: tidegate secret create {name}")));
    }
    answer.success(&format!("update secret {name}"))?;
    context.output.done("Updated", &format!("secret {name}"));
    Ok(())
}

async fn list(context: &Context) -> Result<(), Failure> {
    let path = format!("/system/secrets{}", context.namespace_query()?);
    let found: Value = context.gateway()?.get(&path, "list secrets").await?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    let secrets = Vec::<Secret>::deserialize(found)
        .map_err(|error| Failure::failed("cannot read the list of secrets").because(error))?;
    if context.output.is_quiet() {
        return secrets.iter().try_for_each(|secret| context.output.line(&secret.name));
    }
    let row = |secret: Secret| vec![secret.name, secret.namespace];
    let rows: Vec<Vec<String>> = secrets.into_iter().map(row).collect();
    context.output.table(&[("SECRET", Align::Left), ("NAMESPACE", Align::Left)], &rows)?;
    if rows.is_empty() {
        context.output.next("tidegate secret create NAME < FILE");
    }
    Ok(())
}

async fn remove(context: &Context, names: &[String]) -> Result<(), Failure> {
    let gateway = context.gateway()?;
    let namespace = context.namespace_or_default()?;
    for name in names {
        let body =
            Secret { name: name.clone(), namespace: namespace.to_owned(), ..Secret::default() };
        // Peers read the namespace from either place.
        let path = format!("/system/secrets?namespace={namespace}");
        let answer = gateway.call(Method::DELETE, &path, Some(&body)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Failure::new(Exit::NotFound, format!("there is no secret {name}"))
                .help("see which there are: tidegate secret list"));
        }
        answer.success(&format!("remove secret {name}"))?;
        context.output.done("Removed", &format!("secret {name}"));
    }
    Ok(())
}

fn body(context: &Context, args: &ValueArgs) -> Result<Secret, Failure> {
    let value = match &args.from_file {
        Some(path) => from_file(path)?,
        None => from_stdin(context, &args.name)?,
    };
    let value = if args.no_trim { value } else { trimmed(value) };
    if value.is_empty() {
        return Err(Failure::usage(format!("the value of secret {} is empty", args.name)));
    }
    if value.len() > LARGEST {
        return Err(Failure::usage(format!("the value of secret {} is over 1 MiB", args.name)));
    }
    let namespace = context.namespace_or_default()?.to_owned();
    // Gateways that know no bytes read the text.
    let text = std::str::from_utf8(&value).unwrap_or_default().to_owned();
    Ok(Secret { name: args.name.clone(), namespace, value: text, raw_value: Some(value) })
}

fn trimmed(value: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&value) {
        Ok(text) => text.trim().as_bytes().to_vec(),
        Err(_) => value,
    }
}

fn from_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::File::open(path)
        .and_then(read_bounded)
        .map_err(|error| Failure::usage(format!("cannot read {}", path.display())).because(error))
}

fn from_stdin(context: &Context, name: &str) -> Result<Vec<u8>, Failure> {
    if context.stdin_is_taken() {
        return Err(Failure::usage("stdin cannot hold both the password and the secret")
            .help("give the secret with --from-file, or the password by TIDEGATE_PASSWORD"));
    }
    let stdin = io::stdin();
    let unread = |error: io::Error| Failure::usage("cannot read stdin").because(error);
    if stdin.is_terminal() {
        return typed(context, name).map_err(unread);
    }
    read_bounded(stdin.lock()).map_err(unread)
}

/// Reads up to one byte more than is allowed, so that too much is noticed.
fn read_bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    from.take(LARGEST as u64 + 1).read_to_end(&mut value)?;
    Ok(value)
}

/// One line from the terminal, which does not show it.
fn typed(context: &Context, name: &str) -> io::Result<Vec<u8>> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    context.output.note(&format!("type the value of {name} (not shown), then Enter:"));
    let mut line = String::new();
    let read = stdin.read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    read.map(|_| line.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_loses_white_space_at_its_ends_and_bytes_lose_nothing() {
        assert_eq!(trimmed(b" token\n".to_vec()), b"token");
        assert_eq!(trimmed(vec![0xff, b'\n']), [0xff, b'\n']);
    }
}
