//! The terminal: taken over, drawn on, and always restored.

use super::{ServerView, draw, fetch};
use crate::cli::TopArgs;
use crate::error::{Failure, Result};
use crate::status::ServerStatus;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::widgets::Paragraph;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// Longest delay until a key or a new status is noticed.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long the screen may take to end after a signal.
const EXIT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the fetching thread sends to the screen.
enum ScreenEvent {
    Fetched(Box<Result<ServerStatus>>),
    /// A signal asks the program to end.
    End,
}

/// Why the fetching thread ends.
#[derive(Debug, PartialEq, Eq)]
enum FetchEnd {
    /// The screen has ended.
    NoScreen,
    /// The terminal is closed.
    NoTerminal,
    /// A signal asks the program to end.
    Signal,
}

/// What the screen shows.
struct ScreenState {
    view: ServerView,
    /// Why the latest status is missing.
    failure: Option<String>,
    paused: bool,
    scroll: u16,
    interval: f64,
}

/// Shows the server until a key or a signal ends the program.
///
/// # Errors
/// System: the server does not answer at the start, or the terminal cannot be used.
pub(super) fn run(args: &TopArgs) -> Result<()> {
    let runtime = fetch::runtime()?;
    // Before the terminal is taken over, so that a wrong address is reported like any other error.
    let first = runtime.block_on(fetch::status(args.server))?;
    // From here on, so that no signal ends the program while the terminal is taken over.
    let signal = end_signal(&runtime)?;
    let (sender, events) = channel();
    let (server, every) = (args.server, args.interval);
    let fetch = move || {
        let is_open = || io::stdout().is_terminal();
        match runtime.block_on(fetch_periodically(server, every, &sender, signal, is_open)) {
            FetchEnd::NoScreen => {}
            FetchEnd::NoTerminal => std::process::exit(0),
            FetchEnd::Signal => {
                // If the terminal is gone, nothing can be restored: crossterm reads end-of-file forever, and
                // the screen never receives the event.
                thread::sleep(EXIT_TIMEOUT);
                std::process::exit(0);
            }
        }
    };
    thread::Builder::new()
        .name("fetch".into())
        .spawn(fetch)
        .map_err(|error| Failure::system("cannot start a thread").because(error))?;
    let view = ServerView::new(server, None, first.clone());
    let mut state =
        ScreenState { view, failure: None, paused: false, scroll: 0, interval: every.as_secs_f64() };
    let mut guard = TerminalGuard::take()?;
    show(&mut guard.0, &mut state, first, &events)
}

fn terminal_failed(error: io::Error) -> Failure {
    Failure::system("cannot use the terminal").because(error)
}

/// Owns the terminal. Dropping it restores the terminal; so does a panic, through ratatui's hook.
struct TerminalGuard(DefaultTerminal);

impl TerminalGuard {
    fn take() -> Result<Self> {
        ratatui::try_init().map(TerminalGuard).map_err(|error| {
            // Undoes what succeeded before the error.
            ratatui::restore();
            terminal_failed(error)
        })
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Catches the signals that end the program, and returns what waits for the first of them.
///
/// # Errors
/// System: a signal cannot be caught.
fn end_signal(runtime: &Runtime) -> Result<impl Future<Output = ()> + Send + 'static> {
    let _context = runtime.enter();
    let catch = |kind| signal(kind).map_err(|error| Failure::system("cannot catch a signal").because(error));
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Fetches the status at every interval, until the screen or the terminal is gone or `signal` comes. `is_open`
/// tells whether there still is a terminal.
async fn fetch_periodically(
    server: SocketAddr,
    every: Duration,
    events: &Sender<ScreenEvent>,
    signal: impl Future<Output = ()>,
    is_open: impl Fn() -> bool,
) -> FetchEnd {
    tokio::pin!(signal);
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate, and the first status is already fetched.
    tick.tick().await;
    loop {
        // A terminal may close without a signal (a shell that ignores SIGHUP forwards none), and at any time: also
        // before this thread first looks.
        if !is_open() {
            return FetchEnd::NoTerminal;
        }
        let event = tokio::select! {
            () = &mut signal => ScreenEvent::End,
            status = async { tick.tick().await; fetch::status(server).await } => {
                ScreenEvent::Fetched(Box::new(status))
            }
        };
        let is_end = matches!(event, ScreenEvent::End);
        if events.send(event).is_err() {
            return FetchEnd::NoScreen;
        }
        if is_end {
            return FetchEnd::Signal;
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    state: &mut ScreenState,
    mut last: ServerStatus,
    events: &Receiver<ScreenEvent>,
) -> Result<()> {
    let mut changed = true;
    loop {
        if changed {
            terminal.draw(|frame| state.draw(frame)).map_err(terminal_failed)?;
        }
        changed = event::poll(POLL_INTERVAL).map_err(terminal_failed)?;
        if changed
            && let Event::Key(key) = event::read().map_err(terminal_failed)?
            && key.kind != KeyEventKind::Release
            && state.handle_key(key)
        {
            return Ok(());
        }
        for event in events.try_iter() {
            changed = true;
            match event {
                ScreenEvent::End => return Ok(()),
                ScreenEvent::Fetched(status) => state.update(*status, &mut last),
            }
        }
    }
}

impl ScreenState {
    /// Shows a new status. `last` is the previous one, and becomes this one.
    fn update(&mut self, status: Result<ServerStatus>, last: &mut ServerStatus) {
        match status {
            Ok(status) => {
                let previous = std::mem::replace(last, status.clone());
                self.failure = None;
                if !self.paused {
                    self.view = ServerView::new(self.view.server, Some(&previous), status);
                }
            }
            Err(failure) => self.failure = Some(failure.to_string()),
        }
    }

    /// Handles a key. Returns whether it ends the program.
    fn handle_key(&mut self, key: KeyEvent) -> bool {
        const PAGE: u16 = 10;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Down => self.scroll = self.scroll.saturating_add(1),
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(PAGE),
            KeyCode::PageDown => self.scroll = self.scroll.saturating_add(PAGE),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        false
    }

    fn draw(&mut self, frame: &mut ratatui::Frame<'_>) {
        let header = draw::header(&self.view);
        let rows = [Constraint::Length(header.len() as u16), Constraint::Fill(1), Constraint::Length(1)];
        let [top, middle, bottom] = Layout::vertical(rows).areas(frame.area());
        let body = draw::body(&self.view);
        let most = (body.len() as u16).saturating_sub(middle.height);
        self.scroll = self.scroll.min(most);
        frame.render_widget(Paragraph::new(header), top);
        frame.render_widget(Paragraph::new(body).scroll((self.scroll, 0)), middle);
        frame.render_widget(draw::footer(self.failure.as_deref(), self.paused, self.interval), bottom);
    }
}

#[cfg(test)]
mod tests;
