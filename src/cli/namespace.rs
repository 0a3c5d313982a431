//! `tidegate namespace`: lists, makes and removes namespaces.

use std::collections::BTreeMap;

use clap::Subcommand;
use http::Method;
use tidegate_api::FunctionNamespace;
use tidegate_core::FunctionId;

use super::Context;
use super::failure::Failure;
use crate::output::Align;

/// What can be done with namespaces.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Lists namespaces
    #[command(visible_alias = "ls")]
    List,
    /// Makes a namespace
    Create {
        /// Its name
        name: String,
    },
    /// Removes an empty namespace with its secrets
    #[command(visible_aliases = ["rm", "delete"])]
    Remove {
        /// Its name
        name: String,
    },
}

/// Does it.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List => list(context).await,
        Command::Create { name } => create(context, &name).await,
        Command::Remove { name } => remove(context, &name).await,
    }
}

async fn list(context: &Context) -> Result<(), Failure> {
    let names: Vec<String> =
        context.gateway()?.get("/system/namespaces", "list namespaces").await?;
    if context.output.is_json() {
        return context.output.json(&names);
    }
    if context.output.is_quiet() {
        return names.iter().try_for_each(|name| context.output.line(name));
    }
    let rows: Vec<Vec<String>> = names.into_iter().map(|name| vec![name]).collect();
    context.output.table(&[("NAMESPACE", Align::Left)], &rows)
}

async fn create(context: &Context, name: &str) -> Result<(), Failure> {
    FunctionId::check_label("namespace", name).map_err(Failure::usage)?;
    let body = marked(name);
    let answer = context.gateway()?.call(Method::POST, "/system/namespace/", Some(&body)).await?;
    answer.success(&format!("make namespace {name}"))?;
    context.output.done("Made", &format!("namespace {name}"));
    context.output.next(&format!("tidegate deploy --namespace {name}"));
    Ok(())
}

async fn remove(context: &Context, name: &str) -> Result<(), Failure> {
    FunctionId::check_label("namespace", name).map_err(Failure::usage)?;
    let body = marked(name);
    let path = format!("/system/namespace/{name}");
    let answer = context.gateway()?.call(Method::DELETE, &path, Some(&body)).await?;
    answer.success(&format!("remove namespace {name}"))?;
    context.output.done("Removed", &format!("namespace {name}"));
    Ok(())
}

/// Peers want the mark of a namespace for functions as a label, their documentation as an annotation.
fn marked(name: &str) -> FunctionNamespace {
    let mark = BTreeMap::from([("openfaas".to_owned(), "1".to_owned())]);
    FunctionNamespace { name: name.to_owned(), labels: mark.clone(), annotations: mark }
}
