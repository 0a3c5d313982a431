//! `tidegate list`: the functions of a namespace, one a line.

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;
use tidegate_api::FunctionStatus;
use tidegate_core::DEFAULT_NAMESPACE;

use super::Context;
use super::failure::Failure;
use crate::output::Align::{Left, Right};

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Order of the lines
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    sort: Sort,
    /// Also the images and when each was first deployed
    #[arg(short, long)]
    verbose: bool,
}

/// What lines are sorted by.
#[derive(Copy, Clone, Debug, Default, ValueEnum)]
enum Sort {
    /// By name
    #[default]
    Name,
    /// Most called first
    Invocations,
    /// Newest first
    Creation,
}

/// Prints the functions.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let path = format!("/system/functions{}", context.namespace_query()?);
    let found: Value = context.gateway()?.get(&path, "list functions").await?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    let mut functions = Vec::<FunctionStatus>::deserialize(found)
        .map_err(|error| Failure::failed("cannot read the list of functions").because(error))?;
    sort(&mut functions, args.sort);
    if context.output.is_quiet() {
        return functions.iter().try_for_each(|function| context.output.line(&spoken(function)));
    }
    let mut columns =
        vec![("FUNCTION", Left), ("READY", Right), ("REPLICAS", Right), ("CALLS", Right)];
    columns.push(("PROCESS", Left));
    if args.verbose {
        columns.extend([("IMAGE", Left), ("CREATED", Left)]);
    }
    let rows: Vec<Vec<String>> =
        functions.iter().map(|function| row(function, args.verbose)).collect();
    context.output.table(&columns, &rows)?;
    match functions.first() {
        Some(first) => context.next(&format!("tidegate describe {}", spoken(first))),
        None => context.next("tidegate deploy -f stack.yml"),
    }
    Ok(())
}

fn sort(functions: &mut [FunctionStatus], by: Sort) {
    functions.sort_by(|a, b| match by {
        Sort::Name => spoken(a).cmp(&spoken(b)),
        Sort::Invocations => b.invocation_count.cmp(&a.invocation_count),
        Sort::Creation => b.created_at.cmp(&a.created_at),
    });
}

/// Its name as the user writes it: with the namespace unless that is the default one.
fn spoken(function: &FunctionStatus) -> String {
    match function.namespace.as_str() {
        "" | DEFAULT_NAMESPACE => function.name.clone(),
        namespace => format!("{}.{namespace}", function.name),
    }
}

fn row(function: &FunctionStatus, verbose: bool) -> Vec<String> {
    let mut row = vec![
        spoken(function),
        function.available_replicas.to_string(),
        function.replicas.to_string(),
        function.invocation_count.to_string(),
        function.env_process.clone(),
    ];
    if verbose {
        row.extend([function.image.clone(), function.created_at.to_string()]);
    }
    row
}
