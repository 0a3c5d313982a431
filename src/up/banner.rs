//! What `tidegate up` prints on stdout: addresses, password (once), functions, what to try next.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::password::Password;
use crate::up::seed::Seeded;

/// What there is to say.
pub struct Banner {
    pub api: SocketAddr,
    pub metrics: SocketAddr,
    pub password: Option<Password>,
    pub state_dir: PathBuf,
}

impl Banner {
    /// Printed as soon as the ports are taken. Scripts read the first words of these lines.
    pub fn print_addresses(&self) {
        let mut text = format!("API      http://{}\n", self.api);
        text += &format!("Metrics  http://{}/metrics\n", self.metrics);
        text += &format!("Console  http://{}/ui/\n", self.api);
        text += &match &self.password {
            None => "Login    none is asked for\n".to_owned(),
            Some(Password { text, new: true }) => {
                format!(
                    "Login    admin / {text}   (shown once; kept in {}/password)\n",
                    self.state_dir.display()
                )
            }
            Some(_) => {
                format!("Login    admin / the password in {}/password\n", self.state_dir.display())
            }
        };
        print(&text);
    }

    /// Printed when the functions are deployed; `more` are there that are not among them.
    pub fn print_functions(&self, functions: &[Seeded], more: usize) {
        if functions.is_empty() {
            let url = format!("http://{}", self.api);
            print(&format!(
                "\nNo function is deployed yet. Try next:\n  tidegate deploy --name NAME --image IMAGE -g {url}\n  tidegate image import FILE.tar    for images that no registry has\n"
            ));
            return;
        }
        let widest = functions.iter().map(|function| function.name.len()).max().unwrap_or(0).max(8);
        let mut text =
            format!("\n{:widest$}  {:>8}  {:12}  {}\n", "FUNCTION", "REPLICAS", "SCALING", "NOTE");
        for function in functions {
            let Seeded { name, replicas, scaling, note, .. } = function;
            text += format!("{name:widest$}  {replicas:>8}  {scaling:12}  {note}").trim_end();
            text.push('\n');
        }
        if more > 0 {
            text += &format!("and {more} more: tidegate list -g http://{}\n", self.api);
        }
        if let Some(first) = functions.iter().find(|function| function.deployed) {
            text += &self.next_commands(&first.name);
        }
        print(&text);
    }

    fn next_commands(&self, function: &str) -> String {
        let url = format!("http://{}", self.api);
        format!(
            "\nTry next:\n  curl -d hello {url}/function/{function}\n  hey -z 20s -c 50 {url}/function/{function}\n  tidegate explain {function} -g {url}\n"
        )
    }
}

/// Nobody may be reading any more; that is no reason to stop serving.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
