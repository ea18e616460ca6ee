//! Writes the man pages (`*.1`) and the completions for bash, zsh and fish into a directory, all made
//! from the command line's own description.

use clap_complete::Shell;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(Error::new(ErrorKind::InvalidInput, "name the directory to write to"));
    };
    clap_mangen::generate_to(xstun::cli::command(), &directory)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut xstun::cli::command(), "xstun", &directory)?;
    }
    Ok(())
}
