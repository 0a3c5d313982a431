//! Images for tests, made of a static busybox and a few lines of shell: no network, no compiler.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The name of the image of functions.
pub const FUNCTION: &str = "docker.io/library/function:test";

/// What runs first: a server, or what `fprocess` says.
const ENTRY: &str = r#"#!/bin/sh
case "$fprocess" in
serve*|secret*) trap 'kill $!; exit 0' TERM; nc -ll -p "${port:-8080}" -e /handler & wait $! ;;
*) exec sh -c "$fprocess" ;;
esac
"#;

/// Answers one call.
const HANDLER: &str = r#"#!/bin/sh
read -r method path rest
length=0
while read -r line; do
  line="${line%?}"
  [ -z "$line" ] && break
  case "$line" in [Cc]ontent-[Ll]ength:*) length="${line#*: }" ;; esac
done
body=
[ "$length" -gt 0 ] && body=$(head -c "$length")
printf 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'
[ "$method" = GET ] && exit
case "$fprocess" in
secret*) cat "/var/openfaas/secrets/${fprocess#* }" ;;
*shell) sh -c "$body" 2>&1 ;;
*) echo "said: $body" >&2; printf '%s' "$body" ;;
esac
"#;

/// Writes the image of functions to a file, as an OCI layout.
pub fn write(path: &Path) {
    let config = json!({
        "Entrypoint": ["/entry"], "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "WorkingDir": "/home/app",
        "User": "app",
    });
    write_as(path, FUNCTION, &config, &[]);
}

/// Writes an image with this configuration of its process, and these files beside the usual ones.
pub fn write_as(path: &Path, name: &str, config: &Value, more: &[(&str, Vec<u8>)]) {
    let layer = layer(more);
    let config = serde_json::to_vec(&json!({
        "architecture": if std::env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" },
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    }));
    let config = config.expect("JSON");
    let blob = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest(bytes), "size": bytes.len()});
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", &config),
        "layers": [blob("layer.v1.tar", &layer)],
    }));
    let manifest = manifest.expect("JSON");
    let mut entry = blob("manifest.v1+json", &manifest);
    entry["annotations"] = json!({"io.containerd.image.name": name});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let file = fs::File::create(path).expect("a file");
    let mut archive = tar::Builder::new(file);
    add(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#);
    add(&mut archive, "index.json", 0o644, index.as_bytes());
    for bytes in [&layer, &config, &manifest] {
        add(&mut archive, &format!("blobs/{}", digest(bytes).replace(':', "/")), 0o644, bytes);
    }
    archive.into_inner().expect("a whole file");
}

fn layer(more: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"].iter().find_map(|path| fs::read(path).ok());
    let busybox = busybox.expect("busybox was looked for before");
    let mut archive = tar::Builder::new(Vec::new());
    add(&mut archive, "bin/busybox", 0o755, &busybox);
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    link.set_mode(0o777);
    archive.append_link(&mut link, "bin/sh", "busybox").expect("memory");
    add(&mut archive, "entry", 0o755, ENTRY.as_bytes());
    add(&mut archive, "handler", 0o755, HANDLER.as_bytes());
    add(
        &mut archive,
        "etc/passwd",
        0o644,
        b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
    );
    add(&mut archive, "etc/group", 0o644, b"root:x:0:\napp:x:1000:\n");
    for (folder, mode) in [("tmp", 0o1777), ("home/app", 0o777)] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(mode);
        archive.append_data(&mut header, folder, std::io::empty()).expect("memory");
    }
    for (path, bytes) in more {
        add(&mut archive, path, 0o755, bytes);
    }
    archive.into_inner().expect("memory")
}

fn add(archive: &mut tar::Builder<impl std::io::Write>, path: &str, mode: u32, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, path, bytes).expect("room");
}

pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
