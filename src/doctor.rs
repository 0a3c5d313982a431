//! `tidegate doctor`: is the gateway well, and would one run well on this machine?
//!
//! One line a check; under each that failed stands the command that mends it. Needs nothing but this
//! program: no curl, no root, no running gateway with `--pre`.

mod machine;

use serde::Serialize;
use serde_json::{Value, json};
use tidegate::config::{Backend, Config};
use tidegate_provider_containerd::Config as ContainerdConfig;

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::client::Gateway;
use crate::output::Paint;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what matters before a gateway is started here
    #[arg(long)]
    pre: bool,
    /// What is to run replicas: process, containerd or auto [default: as set]
    #[arg(long, value_name = "BACKEND")]
    provider: Option<Backend>,
}

/// How a check went.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
    Skip,
}

/// One thing looked at.
#[derive(Debug, Serialize)]
struct Check {
    group: &'static str,
    name: &'static str,
    state: State,
    detail: String,
    /// The command that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn new(group: &'static str, name: &'static str, state: State, detail: impl ToString) -> Self {
        Self { group, name, state, detail: detail.to_string(), mend: None }
    }

    fn mend(mut self, command: impl ToString) -> Self {
        self.mend = Some(command.to_string());
        self
    }
}

/// Checks everything and prints it.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let gateway = context.gateway()?;
    let mut checks = Vec::new();
    let mut running = false;
    if !args.pre {
        running = gateway_checks(&gateway, &mut checks).await;
    }
    machine::checks(context, gateway.url(), running, &mut checks);
    match Config::read(context.vars.clone()) {
        Ok(config) if args.provider.unwrap_or(config.backend) != Backend::Process => {
            containerd_checks(&config.containerd, &mut checks).await;
        }
        Ok(_) => {}
        Err(bad) => {
            let check = Check::new("this machine", "settings", State::Fail, bad);
            checks.push(check.mend("set what docs/configuration.md allows, or unset it"));
        }
    }
    print(context, &checks)?;
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if failed > 0 {
        let message = format!("{failed} of {} checks failed", checks.len());
        return Err(Failure::new(Exit::Check, message));
    }
    match running {
        true => context.next("tidegate list"),
        false => context.output.next("tidegate up"),
    }
    Ok(())
}

/// Looks at the gateway; `true` when one answers.
async fn gateway_checks(gateway: &Gateway, checks: &mut Vec<Check>) -> bool {
    const GROUP: &str = "gateway";
    let url = gateway.url();
    let health = match gateway.call(http::Method::GET, "/healthz", None::<&()>).await {
        Ok(answer) => answer,
        Err(failure) => {
            let why =
                failure.details().next().map_or(String::new(), |(_, text)| format!(": {text}"));
            let check = Check::new(GROUP, "reachable", State::Fail, format!("{failure}{why}"));
            checks
                .push(check.mend(
                    "tidegate up   (or name another gateway: tidegate doctor --gateway URL)",
                ));
            checks.push(Check::new(GROUP, "healthy", State::Skip, "not reachable"));
            checks.push(Check::new(GROUP, "password", State::Skip, "not reachable"));
            return failure.exit != Exit::Unreachable;
        }
    };
    checks.push(Check::new(GROUP, "reachable", State::Ok, url));
    checks.push(if health.status().is_success() {
        Check::new(GROUP, "healthy", State::Ok, "/healthz answers 200")
    } else {
        let detail = format!("/healthz answers {}", health.status());
        Check::new(GROUP, "healthy", State::Fail, detail)
            .mend("end it and start it again: tidegate up   (its own output says what ails it)")
    });
    checks.push(password_check(gateway).await);
    true
}

/// What the containerd backend needs of this machine.
async fn containerd_checks(config: &ContainerdConfig, checks: &mut Vec<Check>) {
    const GROUP: &str = "containerd";
    let missing = tidegate_provider_containerd::doctor(config).await;
    if missing.is_empty() {
        let detail =
            format!("{} answers, and all that replicas need is there", config.socket.display());
        checks.push(Check::new(GROUP, "backend", State::Ok, detail));
    }
    checks.extend(
        missing.into_iter().map(|missing| {
            Check::new(GROUP, "backend", State::Fail, missing.what).mend(missing.mend)
        }),
    );
}

async fn password_check(gateway: &Gateway) -> Check {
    const GROUP: &str = "gateway";
    const NAME: &str = "password";
    match gateway.get::<Value>("/system/functions", "list functions").await {
        Ok(functions) => {
            let count = functions.as_array().map_or(0, Vec::len);
            Check::new(GROUP, NAME, State::Ok, format!("accepted; {count} functions deployed"))
        }
        Err(failure) if failure.exit == Exit::NotAllowed => {
            let why =
                failure.details().next().map_or(String::new(), |(_, text)| format!(": {text}"));
            Check::new(GROUP, NAME, State::Fail, format!("{failure}{why}"))
                .mend("tidegate doctor --password-stdin < STATE_DIR/password   (or set TIDEGATE_PASSWORD)")
        }
        Err(failure) => Check::new(GROUP, NAME, State::Fail, &failure).mend("tidegate list"),
    }
}

fn print(context: &Context, checks: &[Check]) -> Result<(), Failure> {
    let output = &context.output;
    if output.is_json() {
        let ok = checks.iter().all(|check| check.state != State::Fail);
        return output.json(&json!({ "ok": ok, "checks": checks }));
    }
    let unicode = speaks_unicode(context);
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut group = "";
    for check in checks {
        if check.group != group {
            group = check.group;
            output.line(&output.paint(Paint::Bold, group))?;
        }
        let (mark, paint) = mark(check.state, unicode);
        let mark = output.paint(paint, mark);
        output.line(format!("  {mark} {:width$}  {}", check.name, check.detail).trim_end())?;
        if let (Some(mend), State::Fail | State::Warn) = (&check.mend, check.state) {
            output.line(&format!("       {}: {mend}", output.paint(Paint::Bold, "mend")))?;
        }
    }
    Ok(())
}

fn mark(state: State, unicode: bool) -> (&'static str, Paint) {
    match (state, unicode) {
        (State::Ok, true) => ("✔", Paint::Good),
        (State::Warn, true) => ("!", Paint::Warn),
        (State::Fail, true) => ("✘", Paint::Bad),
        (State::Skip, true) => ("–", Paint::Dim),
        (State::Ok, false) => ("ok  ", Paint::Good),
        (State::Warn, false) => ("warn", Paint::Warn),
        (State::Fail, false) => ("FAIL", Paint::Bad),
        (State::Skip, false) => ("skip", Paint::Dim),
    }
}

fn speaks_unicode(context: &Context) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| context.vars.get(name));
    locale.is_some_and(|locale| locale.to_ascii_uppercase().replace('-', "").contains("UTF8"))
}
