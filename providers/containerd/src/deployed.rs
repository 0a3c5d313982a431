//! A deployment as this backend understands it: which image, and where its replicas listen and are asked
//! whether they are ready.

use tidegate_core::annotations::ALLOW_32_BIT;
use tidegate_provider::{Deployment, ProviderError};
use tidegate_provider_machine::Limits;

/// Names the path that answers when a replica is ready.
const READY_PATH: &str = "com.openfaas.ready.http.path";
/// Answered by both watchdogs, and never passed on to the function.
const HEALTH: &str = "/_/health";
/// Answered by of-watchdog when the function behind it, asked at its own `ready_path`, is ready.
const READY: &str = "/_/ready";
/// Where functions listen that say nothing else.
const PORT: u16 = 8080;

/// What replicas of a deployment need to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The image, by digest.
    pub(crate) image: String,
    /// Where replicas listen.
    pub(crate) port: u16,
    /// What they are asked for until they answer.
    pub(crate) ready_path: String,
}

impl Spec {
    /// Of a deployment that was checked; `image` is its name by digest.
    pub(crate) fn known(deployment: &Deployment, image: &str) -> Self {
        let port = deployment.env.get("port").and_then(|text| text.parse().ok()).unwrap_or(PORT);
        let has_ready_path = deployment.env.get("ready_path").is_some_and(|path| !path.is_empty());
        let ready_path = match deployment.annotations.get(READY_PATH) {
            Some(path) => path,
            None if has_ready_path => READY,
            None => HEALTH,
        };
        Self { image: image.to_owned(), port, ready_path: ready_path.to_owned() }
    }
}

/// Whether 32-bit programs may run in it. They may not unless it says so: each start would take longer.
pub(crate) fn allows_32_bit(deployment: &Deployment) -> bool {
    deployment.annotations.get(ALLOW_32_BIT).is_some_and(|text| text == "true")
}

/// Checks all of a deployment but its image.
pub(crate) fn check(deployment: &Deployment) -> Result<(), ProviderError> {
    Limits::read(deployment.limits.as_ref())?;
    Limits::read(deployment.requests.as_ref())?;
    let invalid = |why: String| Err(ProviderError::Invalid(why));
    for (name, text) in deployment.env.iter() {
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return invalid(format!(
                "environment variable {name:?} must have a name without '=' and no zero byte"
            ));
        }
    }
    if deployment.process.contains('\0') {
        return invalid("the process must not hold a zero byte".to_owned());
    }
    if let Some(port) = deployment.env.get("port")
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return invalid(format!(
            "environment variable \"port\": {port:?} must be a port, 1 to 65535"
        ));
    }
    if let Some(path) = deployment.annotations.get(READY_PATH)
        && (!path.starts_with('/')
            || path.contains(|it: char| it.is_whitespace() || it.is_control()))
    {
        return invalid(format!(
            "annotation {READY_PATH}: {path:?} must be a path such as /healthz"
        ));
    }
    if let Some(text) = deployment.annotations.get(ALLOW_32_BIT)
        && text != "true"
        && text != "false"
    {
        return invalid(format!("annotation {ALLOW_32_BIT}: {text:?} must be true or false"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_core::FunctionId;

    fn deployment(env: &[(&str, &str)], annotations: &[(&str, &str)]) -> Deployment {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        Deployment {
            function: FunctionId::parse("fn").expect("a name"),
            image: "app".to_owned(),
            process: String::new(),
            env: pairs(env).into(),
            labels: [].into(),
            annotations: pairs(annotations).into(),
            secrets: Vec::new(),
            constraints: Vec::new(),
            limits: None,
            requests: None,
            read_only_root: false,
        }
    }

    #[test]
    fn what_is_asked_until_it_answers_can_be_said() {
        let path = |env: &[(&str, &str)], annotations: &[(&str, &str)]| {
            let deployment = deployment(env, annotations);
            check(&deployment).expect("a good deployment");
            Spec::known(&deployment, "x").ready_path
        };
        assert_eq!(path(&[], &[]), HEALTH);
        assert_eq!(path(&[("ready_path", "/up")], &[]), READY);
        assert_eq!(path(&[("ready_path", "/up")], &[(READY_PATH, "/mine")]), "/mine");
        assert_eq!(Spec::known(&deployment(&[("port", "9000")], &[]), "x").port, 9000);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (env, annotations) in [
            ([("port", "0")], [("a", "b")]),
            ([("a=b", "c")], [("a", "b")]),
            ([("a", "b")], [(READY_PATH, "no slash")]),
            ([("a", "b")], [(READY_PATH, "/a b")]),
            ([("a", "b")], [(ALLOW_32_BIT, "yes")]),
        ] {
            assert!(check(&deployment(&env, &annotations)).is_err(), "{env:?} {annotations:?}");
        }
    }
}
