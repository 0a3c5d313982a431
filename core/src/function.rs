//! What a function is called: a name within a namespace.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The namespace of a function that names none, as in OpenFaaS.
pub const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// Longest name or namespace: that of a DNS label (RFC 1123).
const LONGEST: usize = 63;

/// A function's identity. Cheap to clone; prints as `name.namespace`, the `function_name` of metrics.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId {
    full: Arc<str>,
    name_len: u8,
}

/// A name or namespace that is not a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{what} {text:?} is not valid: use 1 to 63 lower-case letters, digits and '-', with a letter or digit first and last"
)]
pub struct BadName {
    what: &'static str,
    text: String,
}

impl FunctionId {
    /// The function `name` in `namespace`; an empty namespace means [`DEFAULT_NAMESPACE`].
    ///
    /// # Errors
    /// When either is not a DNS label.
    pub fn new(name: &str, namespace: &str) -> Result<Self, BadName> {
        let namespace = if namespace.is_empty() { DEFAULT_NAMESPACE } else { namespace };
        Self::check_label("function name", name)?;
        Self::check_label("namespace", namespace)?;
        let name_len = u8::try_from(name.len()).expect("a DNS label has at most 63 bytes");
        Ok(Self { full: format!("{name}.{namespace}").into(), name_len })
    }

    /// Reads `name` or `name.namespace`, as in `/function/{name}`; split at the last dot.
    ///
    /// # Errors
    /// When a part is not a DNS label.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        match text.rsplit_once('.') {
            Some((_, "")) => Err(BadName::new("namespace", "")),
            Some((name, namespace)) => Self::new(name, namespace),
            None => Self::new(text, DEFAULT_NAMESPACE),
        }
    }

    /// Checks that `text` is a DNS label; `what` names it in the error.
    ///
    /// # Errors
    /// When it is not.
    pub fn check_label(what: &'static str, text: &str) -> Result<(), BadName> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let good = (1..=LONGEST).contains(&text.len())
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if good { Ok(()) } else { Err(BadName::new(what, text)) }
    }

    /// The name without the namespace.
    pub fn name(&self) -> &str {
        self.full.split_at(usize::from(self.name_len)).0
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.full.split_at(usize::from(self.name_len) + 1).1
    }

    /// `name.namespace`.
    pub fn as_str(&self) -> &str {
        &self.full
    }
}

impl BadName {
    fn new(what: &'static str, text: &str) -> Self {
        Self { what, text: text.chars().take(80).collect() }
    }
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl fmt::Debug for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bare_name_is_in_the_default_namespace() {
        let id = FunctionId::parse("cat").expect("a plain name");
        assert_eq!(
            (id.name(), id.namespace(), id.as_str()),
            ("cat", "openfaas-fn", "cat.openfaas-fn")
        );
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for text in ["", "..", "../x", "a/b", "A", "-a", "a-", "a.", ".a", "a..b", "a.b.c", "ä"] {
            assert!(FunctionId::parse(text).is_err(), "{text}");
        }
        assert!(FunctionId::parse(&"a".repeat(64)).is_err());
    }

    proptest! {
        #[test]
        fn an_id_reads_back(name in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", ns in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?") {
            let id = FunctionId::new(&name, &ns).expect("both are labels");
            prop_assert_eq!(id.name(), name);
            prop_assert_eq!(id.namespace(), ns);
            prop_assert_eq!(FunctionId::parse(id.as_str()), Ok(id.clone()));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = FunctionId::parse(&text);
        }
    }
}
