//! The function that an empty tidegate starts with: this program itself, run once for each call, so that
//! it needs nothing that may be missing.

use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Longest name that is greeted.
const LONGEST: u64 = 1024;

/// Greets whom stdin names.
pub fn run() -> ExitCode {
    match greet(io::stdin().lock(), io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn greet(from: impl Read, mut to: impl Write) -> io::Result<()> {
    let mut said = Vec::new();
    from.take(LONGEST).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    let name = if said.trim().is_empty() { "world" } else { said.trim() };
    writeln!(to, "Hello, {name}!")?;
    writeln!(
        to,
        "This is tidegate's demo function. Deploy your own with: tidegate deploy -f stack.yml"
    )?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_the_body_names_is_greeted() {
        let greeting = |body: &[u8]| {
            let mut answer = Vec::new();
            greet(body, &mut answer).expect("memory takes all");
            String::from_utf8(answer).expect("text").lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(greeting(b"tide\n"), "Hello, tide!");
        assert_eq!(greeting(b""), "Hello, world!");
    }
}
