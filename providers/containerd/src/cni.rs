//! Runs CNI plugins: programs that attach a network to the machine and take it off again.
//!
//! ```text
//! ADD     bridge ──result──► firewall        in this order, each told what came before
//! DEL     firewall ──► bridge                in reverse, each told the result of ADD
//! ```
//!
//! Source: the CNI specification 0.4.0, which plugins since 2019 speak.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::Failure;

pub(crate) const VERSION: &str = "0.4.0";
/// The interface inside.
const INTERFACE: &str = "eth0";
/// Longest that a plugin may take: they wait for each other's locks.
const LONGEST: Duration = Duration::from_secs(60);
/// Where plugins look for `iptables`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A chain of plugins and where they are.
#[derive(Debug)]
pub(crate) struct Chain {
    name: String,
    folders: Vec<PathBuf>,
    plugins: Vec<Value>,
}

/// How a network is attached to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// The address inside.
    pub(crate) address: Ipv4Addr,
    /// The interface outside, a port of the bridge.
    pub(crate) port: Option<String>,
    /// The hardware address inside.
    pub(crate) hardware: Option<[u8; 6]>,
}

impl Chain {
    /// `plugins` are the objects of a network configuration list called `name`.
    pub(crate) fn new(name: &str, folders: &[PathBuf], plugins: Vec<Value>) -> Self {
        Self { name: name.to_owned(), folders: folders.to_vec(), plugins }
    }

    /// Attaches a network; returns the result, which [`Chain::del`] and [`Chain::check`] need.
    pub(crate) async fn add(&self, id: &str, netns: &Path) -> Result<Value, Failure> {
        let mut result = Value::Null;
        for plugin in &self.plugins {
            result = self.run("ADD", plugin, id, netns, &result).await?;
        }
        Ok(result)
    }

    /// Takes a network off the machine; that it is off already is fine.
    pub(crate) async fn del(&self, id: &str, netns: &Path, result: &Value) -> Result<(), Failure> {
        for plugin in self.plugins.iter().rev() {
            self.run("DEL", plugin, id, netns, result).await?;
        }
        Ok(())
    }

    /// Whether a network is attached as it was.
    pub(crate) async fn check(
        &self,
        id: &str,
        netns: &Path,
        result: &Value,
    ) -> Result<(), Failure> {
        for plugin in &self.plugins {
            self.run("CHECK", plugin, id, netns, result).await?;
        }
        Ok(())
    }

    async fn run(
        &self,
        command: &str,
        plugin: &Value,
        id: &str,
        netns: &Path,
        previous: &Value,
    ) -> Result<Value, Failure> {
        let kind = plugin["type"].as_str().unwrap_or_default();
        let program = self.find(kind)?;
        let mut input = plugin.clone();
        input["cniVersion"] = json!(VERSION);
        input["name"] = json!(self.name);
        if !previous.is_null() {
            input["prevResult"] = previous.clone();
        }
        let env: [(&str, OsString); 6] = [
            ("CNI_COMMAND", command.into()),
            ("CNI_CONTAINERID", id.into()),
            ("CNI_NETNS", netns.into()),
            ("CNI_IFNAME", INTERFACE.into()),
            ("CNI_PATH", self.path()),
            ("PATH", PATH.into()),
        ];
        let output = talk(&program, env, input.to_string().into_bytes());
        let output = tokio::time::timeout(LONGEST, output).await.map_err(|_| {
            Failure::Told(format!("CNI plugin {kind} did not end {command} within {LONGEST:?}"))
        })?;
        let output =
            output.map_err(Failure::io(format!("run CNI plugin {}", program.display())))?;
        if output.status.success() {
            return Ok(serde_json::from_slice(&output.stdout).unwrap_or(Value::Null));
        }
        Err(refused(kind, command, &output))
    }

    /// The first folder that has it.
    fn find(&self, kind: &str) -> Result<PathBuf, Failure> {
        self.folders.iter().map(|folder| folder.join(kind)).find(|path| path.exists()).ok_or_else(|| {
            let folders: Vec<_> = self.folders.iter().map(|it| it.display().to_string()).collect();
            Failure::Told(format!(
                "CNI plugin {kind:?} is not in {}; install it with `apt-get install containernetworking-plugins`",
                folders.join(" or ")
            ))
        })
    }

    fn path(&self) -> OsString {
        let folders: Vec<&std::ffi::OsStr> =
            self.folders.iter().map(|folder| folder.as_os_str()).collect();
        folders.join(std::ffi::OsStr::new(":"))
    }
}

async fn talk(
    program: &Path,
    env: [(&str, OsString); 6],
    input: Vec<u8>,
) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .env_clear()
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        // A plugin that ended early tells why on its output.
        let _ = pipe.write_all(&input).await;
    }
    child.wait_with_output().await
}

/// What a plugin that failed said.
fn refused(kind: &str, command: &str, output: &std::process::Output) -> Failure {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let errors = String::from_utf8_lossy(&output.stderr);
    let why = told["msg"].as_str().unwrap_or(errors.trim());
    let details = told["details"].as_str().unwrap_or_default();
    if why.contains("no IP addresses available") {
        return Failure::Told(format!(
            "no address is free for another replica ({why}); choose a larger subnet for functions"
        ));
    }
    Failure::Told(
        format!("CNI plugin {kind} failed to {command}: {why} {details}").trim_end().to_owned(),
    )
}

/// Reads what ADD told. The port is the interface that is outside and not the bridge.
pub(crate) fn attached(result: &Value, bridge: &str) -> Result<Attached, Failure> {
    let unclear = || Failure::Told(format!("CNI plugins told no address: {result}"));
    let address = result["ips"][0]["address"].as_str().ok_or_else(unclear)?;
    let address = address.split('/').next().unwrap_or_default().parse().map_err(|_| unclear())?;
    let outside = |interface: &&Value| {
        interface["sandbox"].as_str().is_none_or(str::is_empty) && interface["name"] != bridge
    };
    let interfaces = result["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default();
    let port = interfaces.iter().find(outside).and_then(|interface| interface["name"].as_str());
    let inside =
        interfaces.iter().find(|it| it["sandbox"].as_str().is_some_and(|path| !path.is_empty()));
    let hardware = inside.and_then(|interface| hardware(interface["mac"].as_str()?));
    Ok(Attached { address, port: port.map(str::to_owned), hardware })
}

/// Six bytes, written with colons in between.
fn hardware(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_bridge_tells_address_and_port() {
        let result = json!({
            "interfaces": [
                {"name": "br0", "mac": "00:00:00:00:00:01"},
                {"name": "veth1", "mac": "00:00:00:00:00:02"},
                {"name": "eth0", "mac": "00:00:00:00:00:03", "sandbox": "/run/netns/x"}
            ],
            "ips": [{"version": "4", "interface": 2, "address": "10.1.2.3/16", "gateway": "10.1.0.1"}]
        });
        let told = attached(&result, "br0").expect("a good result");
        let (port, hardware) = (Some("veth1".to_owned()), Some([0, 0, 0, 0, 0, 3]));
        assert_eq!(told, Attached { address: Ipv4Addr::new(10, 1, 2, 3), port, hardware });
        assert!(attached(&json!({"ips": []}), "br0").is_err());
    }
}
