//! What every command starts from: the flags of all commands, the environment, the output, and from
//! these the gateway and the function that are meant.

use std::path::PathBuf;
use std::time::Duration;

use tidegate_core::{DEFAULT_NAMESPACE, FunctionId, Vars};

use super::Global;
use super::failure::{Exit, Failure};
use crate::client::{Gateway, GatewayUrl, Sources, encode};
use crate::output::Output;

/// Longest wait for an answer of the management API when nobody says otherwise; as in faas-cli.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The settings that all commands share.
#[derive(Debug)]
pub struct Context {
    /// The environment.
    pub vars: Vars,
    /// Where results and notes go.
    pub output: Output,
    global: Global,
}

impl Context {
    /// Puts the settings together; a state directory given as a flag counts as the variable.
    pub fn new(global: Global, mut vars: Vars, output: Output) -> Self {
        if let Some(dir) = global.state_dir.as_ref().and_then(|dir| dir.to_str()) {
            vars.set("TIDEGATE_STATE_DIR", dir);
        }
        Self { vars, output, global }
    }

    /// The gateway that flags and environment name.
    pub fn gateway(&self) -> Result<Gateway, Failure> {
        self.gateway_or(None)
    }

    /// The gateway, where a stack file may name one too.
    ///
    /// A stack file that names the default address says nothing: most do, wherever they are deployed.
    pub fn gateway_or(&self, of_stack: Option<&str>) -> Result<Gateway, Failure> {
        let of_stack = of_stack
            .filter(|url| !url.is_empty() && url.trim_end_matches('/') != GatewayUrl::DEFAULT);
        let text = None
            .or(self.global.gateway.as_deref())
            .or_else(|| self.vars.get("TIDEGATE_GATEWAY"))
            .or(of_stack)
            .or_else(|| self.vars.get("OPENFAAS_URL"))
            .unwrap_or(GatewayUrl::DEFAULT);
        let url = GatewayUrl::parse(text)?;
        let stdin = self.global.password_stdin;
        let credentials = Sources::look(&url, &self.vars, self.state_dir().as_deref(), stdin)?;
        Ok(Gateway::new(url, credentials, self.global.timeout.unwrap_or(TIMEOUT)))
    }

    /// Where `tidegate up` of this user keeps its state; `None` without a home.
    pub fn state_dir(&self) -> Option<PathBuf> {
        tidegate::config::default_state_dir(&self.vars)
    }

    /// The time limit that was asked for, if any.
    pub fn timeout(&self) -> Option<Duration> {
        self.global.timeout
    }

    /// Whether stdin is taken by the password.
    pub fn stdin_is_taken(&self) -> bool {
        self.global.password_stdin
    }

    /// The namespace that was asked for, if any.
    pub fn namespace(&self) -> Result<Option<&str>, Failure> {
        let Some(namespace) = self.global.namespace.as_deref() else { return Ok(None) };
        FunctionId::check_label("namespace", namespace).map_err(Failure::usage)?;
        Ok(Some(namespace))
    }

    /// The namespace that was asked for, else the default one.
    pub fn namespace_or_default(&self) -> Result<&str, Failure> {
        Ok(self.namespace()?.unwrap_or(DEFAULT_NAMESPACE))
    }

    /// `?namespace=…`, or nothing when none was asked for.
    pub fn namespace_query(&self) -> Result<String, Failure> {
        Ok(self.namespace()?.map(|name| format!("?namespace={}", encode(name))).unwrap_or_default())
    }

    /// The function called `NAME` or `NAME.NAMESPACE`.
    pub fn function(&self, text: &str) -> Result<FunctionId, Failure> {
        let asked = self.namespace()?;
        let named = match text.rsplit_once('.') {
            Some(_) => FunctionId::parse(text),
            None => FunctionId::new(text, asked.unwrap_or(DEFAULT_NAMESPACE)),
        };
        let function = named.map_err(Failure::usage)?;
        match asked {
            Some(asked) if asked != function.namespace() => Err(Failure::usage(format!(
                "{function} is in namespace {}, but --namespace says {asked}",
                function.namespace()
            ))
            .help("leave one of them out")),
            _ => Ok(function),
        }
    }

    /// `/system/function/NAME?namespace=NS` and its like.
    pub fn path_of(&self, route: &str, function: &FunctionId) -> String {
        format!("/system/{route}/{}?namespace={}", function.name(), function.namespace())
    }

    /// How the user writes `function` in the next command: bare in the default namespace.
    pub fn spoken(function: &FunctionId) -> String {
        if function.namespace() == DEFAULT_NAMESPACE {
            return function.name().to_owned();
        }
        function.to_string()
    }

    /// Names a useful next command, at the same gateway.
    pub fn next(&self, command: &str) {
        match &self.global.gateway {
            Some(url) => self.output.next(&format!("{command} -g {url}")),
            None => self.output.next(command),
        }
    }

    /// Says what helps when a function was not found.
    pub fn not_deployed(failure: Failure) -> Failure {
        match failure.exit {
            Exit::NotFound => failure.help("see what is deployed: tidegate list"),
            _ => failure,
        }
    }
}
