//! `tidegate simulate`: what would this policy have made of that load?
//!
//! Traces and policies are read here; everything else the simulator does without IO. Several policies go
//! through the same trace and stand side by side.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_simulator::generate::{KINDS, generate};
use tidegate_simulator::record::Recorder;
use tidegate_simulator::report::{Report, html};
use tidegate_simulator::trace::{Reading, Trace, read};
use tidegate_simulator::{
    BadPolicy, Contender, Kind, Options, PolicyFile, ProviderModel, Replayed, replay,
    run as simulate,
};

use super::Context;
use super::failure::Failure;
use crate::output::Align::{Left, Right};

const EXAMPLES: &str = "\
Examples:
  tidegate simulate --trace 'generate:square?high=20' --policy tidegate --policy knative \\
      -l com.openfaas.scale.type=capacity -l com.openfaas.scale.target=5
  tidegate simulate --trace calls.csv --policy today.toml --policy tomorrow.toml -o html > report.html
  tidegate simulate --trace 'generate:azure?functions=100&calls=500000' -l com.openfaas.scale.zero=true \\
      --policy fixed:5m --policy fixed:20m --policy fixed:60m --policy budget:200 --policy budget:400
  tidegate simulate --replay night.record

Formats of traces and policies: docs/simulator.md
";

/// Arguments of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A trace: a file, - for stdin, or generate:KIND?KEY=VALUE&…; days of Azure's follow one another
    #[arg(long, value_name = "FILE", required_unless_present_any = ["replay", "generators"])]
    trace: Vec<String>,
    /// How long calls take, beside files of days (Azure 2019)
    #[arg(long, value_name = "FILE")]
    durations: Option<PathBuf>,
    /// A policy: a TOML or YAML file, or tidegate, budget:HOURS, community, openfaas-pro, knative, keda,
    /// fixed:10m, oracle
    #[arg(long, value_name = "FILE|NAME", default_value = "tidegate")]
    policy: Vec<String>,
    /// A label that every function has, unless a policy file says otherwise
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Calls one replica takes at once, unless a policy file says otherwise
    #[arg(long, value_name = "N")]
    max_inflight: Option<u32>,
    /// How replicas start: cold, warm, ready, call (spans), fail (share), memory (size)
    #[arg(
        long,
        value_name = "cold=800ms,warm=10ms,…",
        default_value = "",
        hide_default_value = true
    )]
    provider_model: ProviderModel,
    /// Calls that may wait, for each function
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    room_size: usize,
    /// Longest wait of a call
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::duration)]
    wait_limit: Duration,
    /// How long the run goes on after the last call of a file
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::duration)]
    tail: Duration,
    /// Seeds start-up times, balancing, and what a trace leaves open
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Writes what the first policy saw and decided, to be replayed
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Decides a record anew and compares: the same policy must decide the same
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "policy", "record"])]
    replay: Option<PathBuf>,
    /// Lists the generators
    #[arg(long, conflicts_with_all = ["trace", "policy", "replay"])]
    generators: bool,
}

/// Runs every policy through the trace.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    if args.generators {
        let rows: Vec<_> = KINDS.iter().map(|(kind, keys, what)| vec![kind, keys, what]).collect();
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| row.into_iter().map(|cell| (*cell).to_owned()).collect())
            .collect();
        return context.output.table(&[("KIND", Left), ("KEYS", Left), ("MAKES", Left)], &rows);
    }
    if let Some(path) = &args.replay {
        return print_replay(context, path);
    }
    let contenders = contenders(context, args)?;
    let trace = trace(args)?;
    let options = Options {
        model: args.provider_model.clone(),
        room_size: args.room_size,
        wait_limit: args.wait_limit,
        seed: args.seed,
        ..Options::default()
    };
    let mut policies = Vec::new();
    for (at, contender) in contenders.iter().enumerate() {
        let recorder = match &args.record {
            Some(path) if at == 0 => Some(recorder(path, contender, &options)?),
            _ => None,
        };
        let outcome = simulate(&trace, contender, &options, recorder);
        outcome
            .recorded
            .map_err(|error| Failure::failed("cannot write the record").because(error))?;
        policies.push(outcome.report);
    }
    print(context, &Report::new(&trace, policies))
}

fn print(context: &Context, report: &Report) -> Result<(), Failure> {
    if context.output.is_html() {
        return context.output.bytes(html(report).as_bytes());
    }
    if context.output.is_json() {
        return context.output.json(report);
    }
    print_table(context, report.table())?;
    match report.tradeoff_table() {
        Some(table) => context.output.line("").and_then(|()| print_table(context, table)),
        None => Ok(()),
    }
}

fn print_table(
    context: &Context,
    (headings, rows): (Vec<String>, Vec<Vec<String>>),
) -> Result<(), Failure> {
    let align = |at: usize| if at == 0 { Left } else { Right };
    let columns: Vec<_> =
        headings.iter().enumerate().map(|(at, name)| (name.as_str(), align(at))).collect();
    context.output.table(&columns, &rows)
}

fn print_replay(context: &Context, path: &Path) -> Result<(), Failure> {
    let (name, input) = open(path)?;
    let done: Replayed = replay(&name, input).map_err(Failure::usage)?;
    if context.output.is_json() {
        context.output.json(&done)?;
    } else {
        context.output.fields(&[
            ("Looks", done.looks.to_string()),
            ("Changes", done.changes.to_string()),
            ("Recorded", done.recorded.clone()),
            ("Replayed", done.replayed.clone()),
        ])?;
    }
    let Some(first) = done.mismatches.first() else { return Ok(()) };
    let at = format!("{name}:{}", first.line);
    Err(Failure::failed("not every decision came out as it was recorded")
        .because(format!("{at}: {} was recorded, {} came out", first.recorded, first.replayed)))
}

// --- what is read

type Input = Box<dyn BufRead>;

fn open(path: &Path) -> Result<(String, Input), Failure> {
    let shown = path.display().to_string();
    if shown == "-" {
        return Ok(("stdin".to_owned(), Box::new(io::stdin().lock())));
    }
    let file = File::open(path)
        .map_err(|error| Failure::usage(format!("cannot read {shown}")).because(error))?;
    Ok((shown, Box::new(BufReader::with_capacity(1 << 18, file))))
}

fn trace(args: &Args) -> Result<Trace, Failure> {
    let generators: Vec<&str> =
        args.trace.iter().filter_map(|trace| trace.strip_prefix("generate:")).collect();
    if let [generator] = generators[..]
        && args.trace.len() == 1
    {
        return generate(generator).map_err(|error| {
            Failure::usage(error).help("tidegate simulate --generators lists them")
        });
    }
    if !generators.is_empty() {
        return Err(Failure::usage("a generator stands alone: give one, or files"));
    }
    let files = args.trace.iter().map(|path| open(Path::new(path))).collect::<Result<_, _>>()?;
    let durations = args.durations.as_deref().map(open).transpose()?;
    let reading = Reading { tail: args.tail, seed: args.seed };
    let trace = read(files, durations, &reading).map_err(Failure::usage)?;
    if trace.functions.is_empty() {
        return Err(Failure::usage("the trace has no calls"));
    }
    Ok(trace)
}

fn contenders(context: &Context, args: &Args) -> Result<Vec<Contender>, Failure> {
    let labels: BTreeMap<String, String> = args.label.iter().cloned().collect();
    let mut contenders = Vec::new();
    for text in &args.policy {
        let mut file = policy_file(text)?;
        file.max_inflight = file.max_inflight.or(args.max_inflight);
        let bad = |error| Failure::usage(format!("policy {text} cannot work")).because(error);
        let contender = file.contender(&labels, text).map_err(bad)?;
        for warning in &contender.warnings {
            context.output.warn(&format!("policy {text}: {warning}"));
        }
        contenders.push(contender);
    }
    Ok(contenders)
}

fn policy_file(text: &str) -> Result<PolicyFile, Failure> {
    let path = Path::new(text);
    if !path.exists() {
        return PolicyFile::named(text).map_err(|error| {
            let nobody = matches!(error, BadPolicy::Scaler(_));
            let what = if nobody { "is no file" } else { "cannot work" };
            Failure::usage(format!("policy {text} {what}")).because(error)
        });
    }
    let content = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read {text}")).because(error))?;
    let bad = |error: String| Failure::usage(format!("{text} is no policy")).because(error);
    if path.extension().is_some_and(|extension| extension == "toml") {
        toml::from_str(&content).map_err(|error| bad(error.to_string()))
    } else {
        serde_saphyr::from_str(&content).map_err(|error| bad(error.to_string()))
    }
}

fn recorder(path: &Path, contender: &Contender, options: &Options) -> Result<Recorder, Failure> {
    if contender.kind != Kind::Tidegate {
        return Err(Failure::usage("only tidegate's own decisions are recorded; name it first"));
    }
    let file = File::create(path).map_err(|error| {
        Failure::failed(format!("cannot write {}", path.display())).because(error)
    })?;
    Ok(Recorder::new(Box::new(BufWriter::new(file)), &contender.settings(options)))
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("use KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
