//! Digests as containerd and registries write them: `sha256:` and 64 hexadecimal digits.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// The digest of some bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    written(&Sha256::digest(bytes))
}

/// A finished hash as text.
pub(crate) fn written(hash: &[u8]) -> String {
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The names of snapshots: each layer's is made of its own digest and of the one below it.
/// Source: OCI image specification, "layer chain id".
pub(crate) fn chain(diff_ids: &[String]) -> Vec<String> {
    let mut chain: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            None => diff_id.clone(),
            Some(below) => of(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_grows_from_its_first_layer() {
        let empty = of(b"");
        assert_eq!(
            empty,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let ids = chain(&["sha256:a".to_owned(), "sha256:b".to_owned()]);
        assert_eq!(ids, ["sha256:a".to_owned(), of(b"sha256:a sha256:b")]);
    }
}
