//! `tidegate describe NAME`: all that the gateway knows of one function.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_api::{FunctionEvent, FunctionResources, FunctionStatus, ReplicaStatus};
use tidegate_core::FunctionId;

use super::Context;
use super::failure::Failure;
use crate::client::Gateway;
use crate::output::Align::{Left, Right};

/// Arguments of `describe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which function, as NAME or NAME.NAMESPACE
    name: String,
}

/// Prints everything about the function.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let function = context.function(&args.name)?;
    let spoken = Context::spoken(&function);
    let gateway = context.gateway()?;
    let path = format!("{}&usage=1", context.path_of("function", &function));
    let found: Value =
        gateway.get(&path, &format!("describe {spoken}")).await.map_err(Context::not_deployed)?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    let status = FunctionStatus::deserialize(found).map_err(|error| {
        Failure::failed(format!("cannot read the status of {spoken}")).because(error)
    })?;
    context.output.fields(&fields(&gateway, &function, &status))?;
    print_replicas(context, &status.replica_status)?;
    print_events(context, &status.events)?;
    context.next(&format!("tidegate logs {spoken}"));
    context.next(&format!("tidegate explain {spoken}"));
    Ok(())
}

fn fields<'a>(
    gateway: &Gateway,
    function: &FunctionId,
    status: &FunctionStatus,
) -> Vec<(&'a str, String)> {
    let url = format!("{}/function/{}", gateway.url(), Context::spoken(function));
    let mut fields = vec![
        ("Name", function.name().to_owned()),
        ("Namespace", function.namespace().to_owned()),
        ("State", state(status).to_owned()),
        ("Replicas", format!("{} ready of {}", status.available_replicas, status.replicas)),
        ("Calls", status.invocation_count.to_string()),
        ("Process", status.env_process.clone()),
        ("Used", used(status)),
        ("Image", status.image.clone()),
        ("URL", url),
        ("Created", status.created_at.to_string()),
        ("Environment", pairs(&status.env_vars)),
        ("Labels", pairs(&status.labels)),
        ("Annotations", pairs(&status.annotations)),
        ("Secrets", status.secrets.join("\n")),
        ("Constraints", status.constraints.join("\n")),
    ];
    fields.extend(
        [("Limits", &status.limits), ("Requests", &status.requests)]
            .into_iter()
            .filter_map(|(name, amounts)| Some((name, amounts_of(amounts.as_ref()?)))),
    );
    // A line that would say nothing is left out.
    fields.retain(|(_, value)| !value.is_empty());
    fields
}

fn state(status: &FunctionStatus) -> &'static str {
    match (status.available_replicas, status.replicas) {
        (0, 0) => "at zero; the next call wakes it",
        (0, _) => "not ready",
        (ready, wanted) if ready < wanted => "ready, growing",
        _ => "ready",
    }
}

/// `name=value` lines.
fn pairs(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = map.iter().map(|(name, value)| format!("{name}={value}")).collect();
    lines.join("\n")
}

fn amounts_of(amounts: &FunctionResources) -> String {
    let said = amounts.named().map(|(name, text)| format!("{name} {text}"));
    said.collect::<Vec<_>>().join(", ")
}

/// What its replicas use together, where the gateway tells.
fn used(status: &FunctionStatus) -> String {
    let Some(usage) = &status.usage else { return String::new() };
    format!("{:.0}m CPU, {:.1} MiB memory", usage.cpu, usage.total_memory_bytes / 1_048_576.0)
}

/// Each replica on a line: what it is doing, how often it was restarted, and what a user should know.
fn print_replicas(context: &Context, replicas: &[ReplicaStatus]) -> Result<(), Failure> {
    if replicas.is_empty() {
        return Ok(());
    }
    let row = |replica: &ReplicaStatus| {
        let ReplicaStatus { id, phase, restarts, mut address, detail } = replica.clone();
        if address.is_empty() {
            address.push('-');
        }
        vec![id, phase, restarts.to_string(), address, detail]
    };
    let rows: Vec<Vec<String>> = replicas.iter().map(row).collect();
    let columns = [
        ("REPLICA", Left),
        ("PHASE", Left),
        ("RESTARTS", Right),
        ("ADDRESS", Left),
        ("DETAIL", Left),
    ];
    context.output.line("")?;
    context.output.table(&columns, &rows)
}

/// The last replicas that ended without being told to.
fn print_events(context: &Context, events: &[FunctionEvent]) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let row = |event: &FunctionEvent| {
        let FunctionEvent { time, replica, reason, detail } = event.clone();
        vec![time, replica, reason, detail]
    };
    let rows: Vec<Vec<String>> = events.iter().map(row).collect();
    let columns = [("ENDED", Left), ("REPLICA", Left), ("REASON", Left), ("DETAIL", Left)];
    context.output.line("")?;
    context.output.table(&columns, &rows)
}
