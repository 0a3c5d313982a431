//! The binary under test, in an empty home and environment.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// One way to call the program.
pub struct Tidegate {
    command: Command,
    home: TempDir,
    stdin: Vec<u8>,
}

/// What came of a call.
pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Tidegate {
    pub fn new(args: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
        command.args(args).env_clear().env("HOME", home.path()).current_dir(home.path());
        Self { command, home, stdin: Vec::new() }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// A file below the home, which is also the working directory.
    pub fn file(self, path: &str, text: &str) -> Self {
        let path = self.home.path().join(path);
        let folder = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(folder).expect("made");
        std::fs::write(&path, text).expect("written");
        self
    }

    pub fn run(mut self) -> Outcome {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // A program that reads no stdin may be gone already.
        let _ = stdin.write_all(&self.stdin);
        drop(stdin);
        outcome(child.wait_with_output().expect("the program ends"))
    }
}

fn outcome(output: Output) -> Outcome {
    let text = |bytes| String::from_utf8(bytes).expect("the program speaks UTF-8");
    let code = output.status.code().expect("the program exits by itself");
    Outcome { code, out: text(output.stdout), err: text(output.stderr) }
}

impl Outcome {
    pub fn success(self) -> Self {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// Ended with this code, and stderr has all of these words.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
        self
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).expect("stdout is JSON")
    }
}
