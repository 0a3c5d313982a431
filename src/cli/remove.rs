//! `tidegate remove`: removes functions by name, or all that a stack file names.

use std::path::PathBuf;

use http::{Method, StatusCode};
use tidegate_api::DeleteFunctionRequest;
use tidegate_core::FunctionId;

use super::Context;
use super::failure::{Exit, Failure};
use super::stack::Stack;
use crate::client::Gateway;

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["names", "file"]).required(true).multiple(true))]
pub struct Args {
    /// Which functions
    names: Vec<String>,
    /// A stack file whose functions are removed; with names, only those of it
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Removes them one by one; one that fails does not keep the others.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let (gateway, functions) = match &args.file {
        Some(path) => {
            let stack = Stack::read(context, path)?;
            let functions = stack.ids(context, &args.names)?;
            (context.gateway_or(stack.gateway())?, functions)
        }
        None => (context.gateway()?, named(context, &args.names)?),
    };
    let mut failures = Vec::new();
    for function in &functions {
        if let Err(failure) = remove(context, &gateway, function, args.file.is_some()).await {
            if failure.exit == Exit::Unreachable || failure.exit == Exit::NotAllowed {
                return Err(failure);
            }
            failures.push(failure);
        }
    }
    // All but the last are told here, the last by whoever ends the program.
    let last = failures.pop();
    failures.iter().for_each(|failure| context.output.failure(failure));
    last.map_or(Ok(()), Err)
}

fn named(context: &Context, names: &[String]) -> Result<Vec<FunctionId>, Failure> {
    names.iter().map(|name| context.function(name)).collect()
}

/// With a stack file, what is gone already is as wanted.
async fn remove(
    context: &Context,
    gateway: &Gateway,
    function: &FunctionId,
    gone_is_fine: bool,
) -> Result<(), Failure> {
    let body = DeleteFunctionRequest {
        function_name: function.name().to_owned(),
        namespace: function.namespace().to_owned(),
    };
    let answer = gateway.call(Method::DELETE, "/system/functions", Some(&body)).await?;
    let spoken = Context::spoken(function);
    if answer.status() == StatusCode::NOT_FOUND {
        if gone_is_fine {
            context.output.note(&format!("{spoken} is not deployed"));
            return Ok(());
        }
        return Err(Failure::new(Exit::NotFound, format!("{spoken} is not deployed"))
            .help("see what is: tidegate list"));
    }
    answer.success(&format!("remove {spoken}"))?;
    context.output.done("Removed", &spoken);
    Ok(())
}
