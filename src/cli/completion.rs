//! `tidegate completion SHELL`: a script that teaches a shell our words.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::failure::Failure;
use super::{Cli, Context};

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate completion bash > ~/.local/share/bash-completion/completions/tidegate
  tidegate completion zsh > ~/.zfunc/_tidegate
  tidegate completion fish > ~/.config/fish/completions/tidegate.fish")]
pub struct Args {
    /// For which shell
    shell: Shell,
}

/// Writes the script to stdout.
pub fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
    context.output.bytes(&script)
}
