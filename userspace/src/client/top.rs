//! `xstun top`: what a running server does, live in a terminal, or once for a script.

mod draw;
mod fetch;
mod rates;
mod screen;
mod text;

use super::print;
use crate::cli::TopArgs;
use crate::error::{Failure, Result};
use crate::status::Status;
use rates::Rates;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::process::ExitCode;

/// What is known of a server after a look, and the look before it.
#[derive(Clone, Debug, Serialize)]
struct View {
    /// Where it was asked.
    server: SocketAddr,
    /// What it told.
    status: Status,
    /// What became of it since the look before; nothing after the first look, and after a restart.
    rates: Option<Rates>,
}

impl View {
    /// `before` is what the server told at the look before.
    fn new(server: SocketAddr, before: Option<&Status>, status: Status) -> Self {
        let rates = before.and_then(|before| Rates::between(before, &status));
        View { server, status, rates }
    }
}

/// Shows the server until the person at the terminal ends it; with `--once`, prints what it does.
///
/// # Errors
/// There is no server, or no terminal.
pub fn run(args: &TopArgs) -> Result<ExitCode> {
    if args.once {
        let view = twice(args)?;
        let text = if args.json { json(&view)? } else { draw::plain(&view) };
        print(&mut io::stdout().lock(), &text)?;
    } else if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Failure::usage("top wants a terminal, and standard input or output is none")
            .remedy("print one picture with --once"));
    } else {
        screen::run(args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Two looks, as far apart as the interval says.
fn twice(args: &TopArgs) -> Result<View> {
    let runtime = fetch::runtime()?;
    runtime.block_on(async {
        let before = fetch::status(args.server).await?;
        tokio::time::sleep(args.interval).await;
        Ok(View::new(args.server, Some(&before), fetch::status(args.server).await?))
    })
}

fn json(view: &View) -> Result<String> {
    let text = serde_json::to_string(view)
        .map_err(|error| Failure::system("cannot write the result as JSON").because(error))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests;
