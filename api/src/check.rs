//! What is wrong or odd about a deployment, found before anybody acts on it.
//!
//! Every remark names its place, so that a stack file can point at the line and the REST API at the field.

use std::collections::BTreeMap;
use std::fmt;

use tidegate_core::{
    DEFAULT_NAMESPACE, FunctionId, Policy, PolicyWarning, Quantity, annotations, labels as known,
};

use crate::{FunctionDeployment, FunctionResources};

/// What a deployment that can be acted on says.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Which function.
    pub function: FunctionId,
    /// How it wants to be scaled.
    pub policy: Policy,
    /// What will not do what its author may expect.
    pub warnings: Vec<Remark>,
}

/// Something wrong or odd, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// Where.
    pub place: Place,
    /// What, and what would be right.
    pub text: String,
}

/// A part of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The function's name.
    Name,
    /// Its namespace.
    Namespace,
    /// Its image.
    Image,
    /// The variable of this name.
    Env(String),
    /// The label of this name.
    Label(String),
    /// The annotation of this name.
    Annotation(String),
    /// The limit of this key.
    Limit(String),
    /// The request of this key.
    Request(String),
}

/// Prefix of the labels by which scaling is asked for.
const SCALE: &str = "com.openfaas.scale.";
/// Our own such prefix.
const OWN_SCALE: &str = "com.tidegate.scale.";

/// The variable by which a function says how many calls one replica takes at once.
const MAX_INFLIGHT: &str = "max_inflight";

impl FunctionDeployment {
    /// Checks everything that can be known without a provider.
    ///
    /// # Errors
    /// With all that is wrong, when anything is.
    pub fn check(&self) -> Result<Checked, Vec<Remark>> {
        let mut wrong = Remarks(Vec::new());
        let mut odd = Remarks(Vec::new());
        self.check_names(&mut wrong);
        self.check_env(&mut wrong);
        for (amounts, place) in
            [(&self.limits, Place::Limit as fn(String) -> Place), (&self.requests, Place::Request)]
        {
            if let Some(amounts) = amounts {
                check_amounts(amounts, place, &mut wrong, &mut odd);
            }
        }
        let policy = check_labels(&self.labels, &mut wrong, &mut odd);
        check_annotations(&self.annotations, &mut wrong, &mut odd);
        match (FunctionId::new(&self.service, &self.namespace), policy) {
            (Ok(function), Some(policy)) if wrong.0.is_empty() => {
                Ok(Checked { function, policy, warnings: odd.0 })
            }
            _ => Err(wrong.0),
        }
    }

    fn check_names(&self, wrong: &mut Remarks) {
        if let Err(bad) = FunctionId::check_label("function name", &self.service) {
            wrong.add(Place::Name, bad);
        }
        let namespace = if self.namespace.is_empty() { DEFAULT_NAMESPACE } else { &self.namespace };
        if let Err(bad) = FunctionId::check_label("namespace", namespace) {
            wrong.add(Place::Namespace, bad);
        }
        if self.image.is_empty() && self.env_process.is_empty() {
            wrong.add(Place::Image, "neither image nor envProcess (fprocess) is given; name one");
        }
        for (what, text) in [("image", &self.image), ("envProcess", &self.env_process)] {
            if text.contains('\0') {
                wrong.add(Place::Image, format_args!("{what} contains a NUL byte"));
            }
        }
    }

    fn check_env(&self, wrong: &mut Remarks) {
        for (name, value) in &self.env_vars {
            if name.is_empty() || name.contains(['=', '\0']) {
                wrong.add(
                    Place::Env(name.clone()),
                    format_args!(
                        "variable name {name:?} is not valid: it must not be empty nor contain '='"
                    ),
                );
            } else if value.contains('\0') {
                wrong.add(
                    Place::Env(name.clone()),
                    format_args!("variable {name} contains a NUL byte"),
                );
            } else if name == MAX_INFLIGHT && !is_limit(value) {
                wrong.add(
                    Place::Env(name.clone()),
                    format_args!(
                        "variable {name}={value:?} is not allowed: it must be a whole number from 0 (no limit) to {}",
                        u32::MAX
                    ),
                );
            }
        }
    }
}

/// Gateway and watchdog must both read it; to both an empty one is none.
fn is_limit(text: &str) -> bool {
    text.is_empty() || text.parse::<u32>().is_ok()
}

fn check_amounts(
    amounts: &FunctionResources,
    place: fn(String) -> Place,
    wrong: &mut Remarks,
    odd: &mut Remarks,
) {
    for (key, text) in amounts.named() {
        let here = place(key.to_owned());
        match text.parse::<Quantity>() {
            Err(bad) => wrong.add(here, format_args!("{key}: {bad}")),
            Ok(_) if key.ends_with("gpu") => {
                odd.add(here, format_args!("{key} has no effect here"))
            }
            Ok(_) => {}
        }
    }
}

fn check_labels(
    labels: &BTreeMap<String, String>,
    wrong: &mut Remarks,
    odd: &mut Remarks,
) -> Option<Policy> {
    if labels.contains_key("") {
        wrong.add(Place::Label(String::new()), "a label has no name");
    }
    match Policy::from_labels(labels) {
        Ok((policy, warnings)) => {
            for warning in warnings {
                odd.add(Place::Label(label_of(&warning)), warning);
            }
            Some(policy)
        }
        Err(all) => {
            for bad in all {
                wrong.add(Place::Label(bad.label.clone()), bad);
            }
            None
        }
    }
}

fn label_of(warning: &PolicyWarning) -> String {
    match warning {
        PolicyWarning::NotHonoured(label) => label.clone(),
        PolicyWarning::DownWindowCut(_) => known::DOWN_WINDOW.to_owned(),
    }
}

fn check_annotations(given: &BTreeMap<String, String>, wrong: &mut Remarks, odd: &mut Remarks) {
    for name in given.keys() {
        if name.is_empty() {
            wrong.add(Place::Annotation(String::new()), "an annotation has no name");
        } else if name.starts_with(SCALE) || name.starts_with(OWN_SCALE) {
            odd.add(
                Place::Annotation(name.clone()),
                format_args!("annotation {name} has no effect; scaling is asked for by labels"),
            );
        } else if name.starts_with(annotations::PREFIX)
            && !annotations::ALL.contains(&name.as_str())
        {
            let known = annotations::ALL.join(", ");
            odd.add(
                Place::Annotation(name.clone()),
                format_args!("annotation {name} has no effect; those known are {known}"),
            );
        }
    }
}

struct Remarks(Vec<Remark>);

impl Remarks {
    fn add(&mut self, place: Place, text: impl fmt::Display) {
        self.0.push(Remark { place, text: text.to_string() });
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
