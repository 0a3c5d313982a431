//! Tells the program which commit it is built from: `TIDEGATE_SHA` of whoever builds without a repository,
//! else what git says, else "unknown".

use std::env::var_os;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TIDEGATE_SHA");
    let given = var_os("TIDEGATE_SHA").and_then(|text| text.into_string().ok());
    let sha = given.filter(|text| !text.is_empty()).or_else(commit);
    println!("cargo::rustc-env=TIDEGATE_SHA={}", sha.as_deref().unwrap_or("unknown"));
}

/// The commit checked out, and what tells of another one. A repository around an unpacked archive is not ours.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let mut watched = vec!["HEAD".to_owned()];
    watched.extend(git(&["symbolic-ref", "-q", "HEAD"]));
    watched.push("packed-refs".to_owned());
    for name in watched {
        // Cargo takes a file that is not there for one that changed.
        if let Some(path) = git(&["rev-parse", "--git-path", &name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
