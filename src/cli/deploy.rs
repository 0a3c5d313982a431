//! `tidegate deploy`: functions of a stack file, or one made of flags, to a gateway.
//!
//! Everything is read and checked before the first call, so that a mistake changes nothing. Each
//! function is replaced (PUT), and made (POST) where the gateway does not have it yet.

use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use serde::Serialize;
use tidegate_api::{Diagnostic, FunctionDeployment, Remark};

use super::Context;
use super::failure::{Exit, Failure};
use super::stack::{Chosen, Stack};
use crate::client::Gateway;

/// Stack files looked for when none is named.
const USUAL: [&str; 2] = ["stack.yml", "stack.yaml"];

/// Arguments of `deploy`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate deploy                                     all functions of ./stack.yml
  tidegate deploy -f examples/stack.yml sleep         only one of them
  tidegate deploy --name up --fprocess 'tr a-z A-Z'   one without a file")]
pub struct Args {
    /// Functions of the stack file to deploy; all without names
    #[arg(conflicts_with = "name")]
    names: Vec<String>,
    /// Stack file [default: stack.yml]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Deploys one function of this name, made of the flags below
    #[arg(long, conflicts_with = "file")]
    name: Option<String>,
    /// Its image
    #[arg(long, requires = "name", default_value = "", hide_default_value = true)]
    image: String,
    /// The process that answers its calls
    #[arg(long, requires = "name", value_name = "COMMAND")]
    fprocess: Option<String>,
    /// A variable for the function, over what the stack file says; may be repeated
    #[arg(short, long = "env", value_name = "NAME=VALUE", value_parser = pair)]
    envs: Vec<(String, String)>,
    /// A label, over what the stack file says; may be repeated
    #[arg(short, long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// An annotation, over what the stack file says; may be repeated
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// A secret that the function may read; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
}

/// What became of one function, for `--output json`.
#[derive(Serialize)]
struct Deployed {
    function: String,
    url: String,
    created: bool,
    warnings: Vec<String>,
}

/// What is to be deployed, where, and which warnings have been told already.
struct Plan {
    gateway: Gateway,
    functions: Vec<Chosen>,
    told: Vec<String>,
}

/// Deploys what was named.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut plan = plan(context, &args)?;
    for function in &mut plan.functions {
        override_by_flags(&mut function.deployment, &args);
    }
    let warnings = plan.functions.iter().map(check).collect::<Result<Vec<_>, _>>()?;
    let mut deployed = Vec::new();
    for (function, warnings) in plan.functions.iter().zip(warnings) {
        deployed.push(deploy(context, &plan, function, warnings).await?);
    }
    if context.output.is_json() {
        return context.output.json(&deployed);
    }
    if let Some(first) = plan.functions.first() {
        context.next(&format!("tidegate invoke {}", Context::spoken(&first.function)));
    }
    Ok(())
}

fn plan(context: &Context, args: &Args) -> Result<Plan, Failure> {
    if let Some(name) = &args.name {
        let function = context.function(name)?;
        let deployment = FunctionDeployment {
            service: function.name().to_owned(),
            namespace: function.namespace().to_owned(),
            image: args.image.clone(),
            env_process: args.fprocess.clone().unwrap_or_default(),
            ..FunctionDeployment::default()
        };
        let functions = vec![Chosen { function, deployment }];
        return Ok(Plan { gateway: context.gateway()?, functions, told: Vec::new() });
    }
    let file = args.file.clone().or_else(usual).ok_or_else(|| {
        Failure::usage("there is no stack.yml here").help(
            "name one with -f FILE, or deploy one function with --name NAME --fprocess COMMAND",
        )
    })?;
    let stack = Stack::read(context, &file)?;
    let functions = stack.choose(context, &args.names)?;
    let told = tell_warnings(context, &stack);
    Ok(Plan { gateway: context.gateway_or(stack.gateway())?, functions, told })
}

/// Warns of what is odd about the file, with line and caret; returns the bare texts.
pub fn tell_warnings(context: &Context, stack: &Stack) -> Vec<String> {
    let tell = |warning: &Diagnostic| {
        let text = warning.to_string();
        context.output.warn(text.trim_start_matches("warning: "));
        warning.message.clone()
    };
    stack.warnings().map(tell).collect()
}

fn usual() -> Option<PathBuf> {
    USUAL.iter().map(Path::new).find(|path| path.exists()).map(Path::to_path_buf)
}

fn override_by_flags(deployment: &mut FunctionDeployment, args: &Args) {
    deployment.env_vars.extend(args.envs.iter().cloned());
    deployment.labels.extend(args.labels.iter().cloned());
    deployment.annotations.extend(args.annotations.iter().cloned());
    for secret in &args.secrets {
        if !deployment.secrets.contains(secret) {
            deployment.secrets.push(secret.clone());
        }
    }
}

/// Looks as the gateway will; anything wrong refuses the whole deployment. Returns the warnings.
fn check(chosen: &Chosen) -> Result<Vec<String>, Failure> {
    let lines = |remarks: &[Remark]| remarks.iter().map(ToString::to_string).collect::<Vec<_>>();
    chosen.deployment.check().map(|checked| lines(&checked.warnings)).map_err(|wrong| {
        Failure::usage(format!("function {} cannot be deployed as it is", chosen.function))
            .because(lines(&wrong).join("\n"))
            .help("mend this; nothing has been changed")
    })
}

async fn deploy(
    context: &Context,
    plan: &Plan,
    chosen: &Chosen,
    mut warnings: Vec<String>,
) -> Result<Deployed, Failure> {
    const PATH: &str = "/system/functions";
    let spoken = Context::spoken(&chosen.function);
    let mut answer = plan.gateway.call(Method::PUT, PATH, Some(&chosen.deployment)).await?;
    let created = answer.status() == StatusCode::NOT_FOUND;
    if created {
        answer = plan.gateway.call(Method::POST, PATH, Some(&chosen.deployment)).await?;
    }
    let answer =
        answer.success(&format!("deploy {spoken}")).map_err(|failure| helped(failure, chosen))?;
    for warning in answer.warnings() {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    for warning in warnings.iter().filter(|warning| !plan.told.contains(warning)) {
        context.output.warn(&format!("{spoken}: {warning}"));
    }
    let url = format!("{}/function/{spoken}", plan.gateway.url());
    context.output.done(if created { "Deployed" } else { "Updated" }, &format!("{spoken} ({url})"));
    Ok(Deployed { function: chosen.function.to_string(), url, created, warnings })
}

fn helped(failure: Failure, chosen: &Chosen) -> Failure {
    if failure.exit == Exit::NotAllowed {
        return failure;
    }
    match chosen.deployment.secrets.first() {
        Some(secret) => {
            let namespace = chosen.function.namespace();
            let command = format!("tidegate secret create {secret} -n {namespace} < FILE");
            failure.help(format!("if a secret is missing: {command}"))
        }
        None => failure.help("mend what the gateway names; functions before this one are deployed"),
    }
}

/// `NAME=VALUE` for clap.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
