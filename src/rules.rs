//! Named custom rules: queries of Prometheus servers that scale functions, from the file of `--rules`.
//!
//! ```text
//! FILE ─► rules/file.rs ─► Rules ─┬─► loops/scale.rs: which function has which rule
//!                                 └─► loops/measure.rs ─► rules/prometheus.rs ─► measured values
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;
use tidegate_autoscaler::CustomRule;
use tidegate_core::{Decimal, FunctionId, LoadType, Policy, labels};
use tracing::warn;

mod file;
mod prometheus;

pub use prometheus::{NoAnswer, Server};

/// All rules, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    all: Arc<[Rule]>,
    path: PathBuf,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What decisions and the label `type` call it by.
    pub name: Arc<str>,
    /// Who is asked.
    pub server: Arc<Server>,
    /// What is asked, in PromQL; its rows say `function_name`.
    pub query: String,
    /// What one replica should carry, in the unit of the query.
    pub target: Decimal,
    /// Multiplies the target.
    pub proportion: Decimal,
    /// How often it is asked.
    pub interval: Duration,
    /// Those it scales, beside those whose label `type` names it.
    pub functions: Vec<FunctionId>,
    /// Line of the file.
    pub line: u64,
}

/// Why rules cannot be used.
#[derive(Debug, Error)]
pub enum BadRules {
    /// The file cannot be read.
    #[error("cannot read the rules {path}: {source}; name a file with --rules")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something in it is not as it should be.
    #[error("{path}:{line}: {what}")]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong and what would be right.
        what: String,
    },
}

impl Rules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Asks the servers whether they can read the queries. One that does not answer is warned of: it may come.
    ///
    /// # Errors
    /// With the first query that a server cannot read.
    pub async fn check_queries(&self) -> Result<(), BadRules> {
        let checks = self.all.iter().map(|rule| rule.server.check(&rule.query));
        for (rule, checked) in self.all.iter().zip(join_all(checks).await) {
            match checked {
                Ok(()) => {}
                Err(error @ NoAnswer::Query(_)) => {
                    let what = format!("rule {}: {error}", rule.name);
                    return Err(BadRules::Wrong { path: self.path.clone(), line: rule.line, what });
                }
                Err(error) => {
                    warn!(rule = &*rule.name, %error, "rule {} could not be checked; it holds counts until it gives values", rule.name);
                }
            }
        }
        Ok(())
    }

    /// Every rule.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.all.iter()
    }

    /// The rules of a function: those that list it, and the one that its labels name, by the labels' target.
    pub fn of(&self, function: &FunctionId, labels: &BTreeMap<String, String>) -> Vec<CustomRule> {
        let named = labels.get(labels::TYPE);
        let rules = self.all.iter().filter_map(|rule| {
            let by_label = named.is_some_and(|name| **name == *rule.name);
            let listed = rule.functions.contains(function);
            (by_label || listed).then(|| rule.for_labels(labels, by_label))
        });
        rules.collect()
    }

    /// Whether the label `type` of a function to be deployed names something.
    ///
    /// # Errors
    /// With label, value, and what would be right.
    pub fn check(&self, labels: &BTreeMap<String, String>) -> Result<(), String> {
        let Some(named) = labels.get(labels::TYPE) else { return Ok(()) };
        let known = |rule: &Rule| *rule.name == **named;
        // What cannot be a name is refused as any bad label.
        if !LoadType::may_be_rule(named) || self.all.iter().any(known) {
            return Ok(());
        }
        let names: Vec<&str> = self.all.iter().map(|rule| &*rule.name).collect();
        let rules = if names.is_empty() {
            "there are no rules, see --rules".to_owned()
        } else {
            format!("the rules are {}", names.join(", "))
        };
        let words = LoadType::WORDS.join(", ");
        Err(format!(
            "label {}: {named:?} is not allowed; use {words}, or the name of a rule: {rules}",
            labels::TYPE
        ))
    }
}

impl Rule {
    fn for_labels(&self, labels: &BTreeMap<String, String>, by_label: bool) -> CustomRule {
        let label = |name: &str, own: Decimal| {
            let text = labels.get(name).filter(|_| by_label);
            text.and_then(|text| text.parse().ok())
                .filter(|n: &Decimal| !n.is_zero())
                .unwrap_or(own)
        };
        CustomRule {
            name: Arc::clone(&self.name),
            target: label(labels::TARGET, self.target),
            proportion: label(labels::TARGET_PROPORTION, self.proportion),
            min_interval: self.interval,
        }
    }
}

/// How often a rule is asked that says nothing.
const INTERVAL: Duration = Duration::from_secs(15);
/// The proportion of a rule that says none.
const PROPORTION: Decimal = Policy::DEFAULT_PROPORTION;

#[cfg(test)]
mod tests;
