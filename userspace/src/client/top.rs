//! `xstun top`: the status of a running server, live in a terminal, or printed once.

mod draw;
mod fetch;
mod rates;
mod screen;
mod text;

use crate::cli::TopArgs;
use crate::error::{Failure, Result};
use crate::output;
use crate::status::ServerStatus;
use rates::StatusRates;
use serde::Serialize;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::process::ExitCode;

/// A server's status, and how its counts changed since the previous one.
#[derive(Clone, Debug, Serialize)]
struct ServerView {
    /// The address that serves the status.
    server: SocketAddr,
    /// The latest status.
    status: ServerStatus,
    /// The rates since the previous status. `None` if there is none, or the server restarted.
    rates: Option<StatusRates>,
}

impl ServerView {
    fn new(server: SocketAddr, previous: Option<&ServerStatus>, status: ServerStatus) -> Self {
        let rates = previous.and_then(|previous| StatusRates::between(previous, &status));
        ServerView { server, status, rates }
    }
}

/// Shows the server until the operator quits; with `--once`, prints its status and returns.
///
/// # Errors
/// Usage: no terminal without `--once`. System: no server, or the terminal cannot be used.
pub fn run(args: &TopArgs) -> Result<ExitCode> {
    if args.once {
        let view = fetch_twice(args)?;
        output::print(&if args.json { json(&view)? } else { draw::plain(&view) })?;
    } else if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Failure::usage("top requires a terminal as standard input and output")
            .remedy("print the status once with --once"));
    } else {
        screen::run(args)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Fetches the status twice, one interval apart.
fn fetch_twice(args: &TopArgs) -> Result<ServerView> {
    let runtime = fetch::runtime()?;
    runtime.block_on(async {
        let previous = fetch::status(args.server).await?;
        tokio::time::sleep(args.interval).await;
        Ok(ServerView::new(args.server, Some(&previous), fetch::status(args.server).await?))
    })
}

fn json(view: &ServerView) -> Result<String> {
    let text = serde_json::to_string(view)
        .map_err(|error| Failure::system("cannot write the result as JSON").because(error))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests;
