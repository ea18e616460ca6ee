//! The terminal: taken, drawn on, and always given back.

use super::{View, draw, fetch};
use crate::cli::TopArgs;
use crate::error::{Failure, Result};
use crate::status::Status;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::widgets::Paragraph;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

/// How long a key or a look may wait until it is noticed.
const NOTICE: Duration = Duration::from_millis(50);

/// How long the end may take that a signal asks for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the thread that looks has to tell.
enum News {
    Looked(Box<Result<Status>>),
    /// A signal asks for the end.
    End,
}

/// What is shown.
struct Picture {
    view: View,
    trouble: Option<String>,
    held: bool,
    scroll: u16,
    interval: f64,
}

/// Shows the server until a key or a signal ends it.
///
/// # Errors
/// There is no server at the start, or the terminal refuses.
pub(super) fn run(args: &TopArgs) -> Result<()> {
    let runtime = fetch::runtime()?;
    // Before the terminal is touched: a wrong address is told as plainly as elsewhere.
    let first = runtime.block_on(fetch::status(args.server))?;
    let (tell, told) = channel();
    let (server, every) = (args.server, args.interval);
    thread::Builder::new()
        .name("looks".into())
        .spawn(move || runtime.block_on(look(server, every, &tell)))
        .map_err(|error| Failure::system("cannot start a thread").because(error))?;
    let view = View::new(server, None, first.clone());
    let mut picture = Picture { view, trouble: None, held: false, scroll: 0, interval: every.as_secs_f64() };
    let mut taken = Taken::take()?;
    show(&mut taken.0, &mut picture, first, &told)
}

fn refused(error: io::Error) -> Failure {
    Failure::system("cannot use the terminal").because(error)
}

/// The terminal while it is ours. Dropping it gives it back; so does a panic, by ratatui's hook.
struct Taken(DefaultTerminal);

impl Taken {
    fn take() -> Result<Self> {
        // What was taken before it failed is given back too.
        ratatui::try_init().map(Taken).map_err(|error| {
            ratatui::restore();
            refused(error)
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Looks at every interval, until nobody wants to know or a signal asks for the end.
async fn look(server: SocketAddr, every: Duration, tell: &Sender<News>) {
    let signals = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(signal);
    let [Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)] = signals else { return };
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is at once, and the first look was just before.
    tick.tick().await;
    let on_terminal = io::stdout().is_terminal();
    loop {
        // Not everybody is told by a signal: a shell that ignores SIGHUP lives on and passes none on.
        if on_terminal && !io::stdout().is_terminal() {
            std::process::exit(0);
        }
        let news = tokio::select! {
            _ = terminate.recv() => News::End,
            _ = interrupt.recv() => News::End,
            _ = hangup.recv() => News::End,
            looked = async { tick.tick().await; fetch::status(server).await } => News::Looked(Box::new(looked)),
        };
        let over = matches!(news, News::End);
        let heard = tell.send(news).is_ok();
        if over && heard {
            // The terminal may be gone, with all that could be given back to it: crossterm then reads its
            // end for ever, and nobody takes the news.
            tokio::time::sleep(PATIENCE).await;
            std::process::exit(0);
        }
        if !heard {
            return;
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    picture: &mut Picture,
    mut last: Status,
    told: &Receiver<News>,
) -> Result<()> {
    let mut changed = true;
    loop {
        if changed {
            terminal.draw(|frame| picture.draw(frame)).map_err(refused)?;
        }
        changed = event::poll(NOTICE).map_err(refused)?;
        if changed
            && let Event::Key(key) = event::read().map_err(refused)?
            && key.kind != KeyEventKind::Release
            && picture.ends(key)
        {
            return Ok(());
        }
        for news in told.try_iter() {
            changed = true;
            match news {
                News::End => return Ok(()),
                News::Looked(looked) => picture.take(*looked, &mut last),
            }
        }
    }
}

impl Picture {
    /// Takes in a look; `last` is what the server told at the one before.
    fn take(&mut self, looked: Result<Status>, last: &mut Status) {
        match looked {
            Ok(status) => {
                let before = std::mem::replace(last, status.clone());
                self.trouble = None;
                if !self.held {
                    self.view = View::new(self.view.server, Some(&before), status);
                }
            }
            Err(failure) => self.trouble = Some(failure.to_string()),
        }
    }

    /// Does what a key asks for; whether that is the end.
    fn ends(&mut self, key: KeyEvent) -> bool {
        const PAGE: u16 = 10;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char(' ') => self.held = !self.held,
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
        let head = draw::head(&self.view);
        let rows = [Constraint::Length(head.len() as u16), Constraint::Fill(1), Constraint::Length(1)];
        let [top, middle, bottom] = Layout::vertical(rows).areas(frame.area());
        let body = draw::body(&self.view);
        let most = (body.len() as u16).saturating_sub(middle.height);
        self.scroll = self.scroll.min(most);
        frame.render_widget(Paragraph::new(head), top);
        frame.render_widget(Paragraph::new(body).scroll((self.scroll, 0)), middle);
        frame.render_widget(draw::foot(self.trouble.as_deref(), self.held, self.interval), bottom);
    }
}

#[cfg(test)]
mod tests;
