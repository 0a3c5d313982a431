//! Whom a host name means on the network of functions, where they call each other and the gateway by name.

/// What follows a name and its namespace in names as Kubernetes has them.
const CLUSTER: &str = ".svc.cluster.local";

/// Whom a host name means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Callee<'a> {
    /// The gateway itself.
    Gateway,
    /// A function, deployed or not.
    Function {
        /// Its name.
        name: &'a str,
        /// Its namespace; a name without one is first looked for in the caller's.
        namespace: Option<&'a str>,
    },
}

impl<'a> Callee<'a> {
    /// Longest name that can mean a function: `NAME.NAMESPACE.svc.cluster.local`.
    pub const LONGEST: usize = 63 + 1 + 63 + CLUSTER.len();

    /// Reads `NAME`, `NAME.NAMESPACE` and `NAME.NAMESPACE.svc.cluster.local`, in lower case and without a
    /// port; `gateway`, `gateway.openfaas` and its long form are the gateway. None for a name of another shape.
    pub fn read(host: &'a str) -> Option<Self> {
        let (short, is_long) = match host.strip_suffix(CLUSTER) {
            Some(short) => (short, true),
            None => (host, false),
        };
        let parts = short.split_once('.');
        match parts {
            None if is_long || short.is_empty() => None,
            None if short == "gateway" => Some(Self::Gateway),
            None => Some(Self::Function { name: short, namespace: None }),
            Some(("gateway", "openfaas")) => Some(Self::Gateway),
            Some((name, namespace)) => {
                let whole = !name.is_empty() && !namespace.is_empty() && !namespace.contains('.');
                whole.then_some(Self::Function { name, namespace: Some(namespace) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn function<'a>(name: &'a str, namespace: Option<&'a str>) -> Option<Callee<'a>> {
        Some(Callee::Function { name, namespace })
    }

    #[test]
    fn names_as_kubernetes_and_openfaas_have_them_are_read() {
        assert_eq!(Callee::read("cat"), function("cat", None));
        assert_eq!(Callee::read("cat.pets"), function("cat", Some("pets")));
        assert_eq!(Callee::read("cat.pets.svc.cluster.local"), function("cat", Some("pets")));
        // A function may have that name, too; then its namespace says so.
        assert_eq!(Callee::read("gateway.openfaas-fn"), function("gateway", Some("openfaas-fn")));
        for gateway in ["gateway", "gateway.openfaas", "gateway.openfaas.svc.cluster.local"] {
            assert_eq!(Callee::read(gateway), Some(Callee::Gateway), "{gateway}");
        }
    }

    #[test]
    fn names_of_another_shape_mean_nobody() {
        let others = [
            "",
            ".",
            "cat.",
            ".pets",
            "faas.example.com",
            "cat.svc.cluster.local",
            ".svc.cluster.local",
        ];
        for other in others {
            assert_eq!(Callee::read(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Callee::read(&text);
        }
    }
}
