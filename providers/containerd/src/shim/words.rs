//! The words that containerd starts a shim with. Source: containerd's runtime v2 README, "Commands".

/// Read from a command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) namespace: String,
    /// containerd's socket.
    pub(super) address: String,
    /// The container.
    pub(super) id: String,
    /// Its folder; the working folder when not said.
    pub(super) bundle: Option<String>,
    /// `start`, `delete`, or nothing: then it is the shim itself.
    pub(super) action: Option<String>,
}

impl Words {
    /// None when these are not the words for a shim.
    pub(super) fn read(words: &[String]) -> Option<Self> {
        let mut read = Self::default();
        let mut words = words.iter().skip(1);
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix('-').map(|it| it.trim_start_matches('-')) else {
                read.action = Some(word.clone());
                continue;
            };
            let (flag, value) = match flag.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (flag, None),
            };
            if flag == "debug" {
                continue;
            }
            let value = value.or_else(|| words.next().cloned())?;
            match flag {
                "namespace" => read.namespace = value,
                "address" => read.address = value,
                "id" => read.id = value,
                "bundle" => read.bundle = Some(value),
                "publish-binary" | "socket" => {}
                _ => return None,
            }
        }
        (!read.namespace.is_empty() && !read.id.is_empty()).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Words> {
        Words::read(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_words_of_containerd_are_read() {
        let line = "/bin/tidegate -namespace fn -address /run/c.sock -publish-binary /bin/containerd -id a -debug start";
        let words = read(line).expect("a shim's");
        assert_eq!((words.namespace.as_str(), words.id.as_str()), ("fn", "a"));
        assert_eq!(
            (words.address.as_str(), words.action.as_deref()),
            ("/run/c.sock", Some("start"))
        );
        let words = read("t -namespace=fn --id a -bundle /b delete").expect("a shim's");
        assert_eq!(
            (words.bundle.as_deref(), words.action.as_deref()),
            (Some("/b"), Some("delete"))
        );
        assert_eq!(read("s -namespace fn -id a").expect("the shim itself").action, None);
    }

    #[test]
    fn other_words_are_none_of_a_shim() {
        for line in
            ["tidegate", "tidegate up -f stack.yml", "t -namespace fn", "t -namespace fn -id"]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
