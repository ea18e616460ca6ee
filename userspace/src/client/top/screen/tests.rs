use super::super::ServerView;
use super::super::tests::{SERVER, status};
use super::{FetchEnd, ScreenEvent, ScreenState, fetch, fetch_periodically};
use crate::error::Failure;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn screen() -> ScreenState {
    let view = ServerView::new(SERVER, Some(&status(10, 1000)), status(11, 1000));
    ScreenState { view, failure: None, paused: false, scroll: 0, interval: 1.0 }
}

/// Returns the lines that a terminal of this height shows.
fn shown(screen: &mut ScreenState, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(120, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..120).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

/// Fetches until the thread would end, with a server that never answers.
fn fetched(signal: impl Future<Output = ()>, is_open: bool) -> (FetchEnd, Vec<ScreenEvent>) {
    let (sender, events) = std::sync::mpsc::channel();
    let hour = std::time::Duration::from_secs(3600);
    let fetching = fetch_periodically(SERVER, hour, &sender, signal, || is_open);
    let end = fetch::runtime().unwrap().block_on(fetching);
    (end, events.try_iter().collect())
}

/// The screen is drawn while the thread starts, so the terminal may be closed before the thread first looks at it.
#[test]
fn a_terminal_that_is_closed_before_the_first_look_ends_the_program() {
    let (end, events) = fetched(std::future::pending(), false);
    assert_eq!((end, events.len()), (FetchEnd::NoTerminal, 0));
}

#[test]
fn a_signal_before_the_first_fetch_reaches_the_screen() {
    let (end, events) = fetched(std::future::ready(()), true);
    assert!(end == FetchEnd::Signal && matches!(events[..], [ScreenEvent::End]));
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn header_and_footer_stay_while_the_body_scrolls_to_its_end() {
    let mut screen = screen();
    let whole = shown(&mut screen, 40);
    assert!(whole[0].starts_with("xstun 1.2.3") && whole[39].starts_with("q quits"), "{whole:#?}");
    let first = shown(&mut screen, 8);
    assert!(first[3].starts_with("PATH"), "{first:#?}");
    for _ in 0..100 {
        assert!(!screen.handle_key(key(KeyCode::PageDown)));
    }
    let last = shown(&mut screen, 8);
    assert_eq!((&last[0], &last[7]), (&first[0], &first[7]));
    assert!(last[6].contains("no table knows the driver"), "{last:#?}");
    assert!(!screen.handle_key(key(KeyCode::Home)));
    assert_eq!(shown(&mut screen, 8), first);
    // Too small to show anything; must not panic.
    shown(&mut screen, 1);
}

#[test]
fn quit_keys_end_the_program() {
    let mut screen = screen();
    assert!(screen.handle_key(key(KeyCode::Char('q'))) && screen.handle_key(key(KeyCode::Esc)));
    assert!(screen.handle_key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(!screen.handle_key(key(KeyCode::Char('c'))));
}

#[test]
fn a_paused_screen_stays_and_a_missing_server_is_reported() {
    let mut screen = screen();
    let mut last = status(11, 1000);
    screen.update(Ok(status(12, 2000)), &mut last);
    assert_eq!(last.uptime, status(12, 0).uptime);
    let before = shown(&mut screen, 40);
    assert!(!screen.handle_key(key(KeyCode::Char(' '))));
    screen.update(Ok(status(13, 9000)), &mut last);
    let paused = shown(&mut screen, 40);
    assert_eq!(paused[..39], before[..39]);
    assert!(paused[39].ends_with("paused"), "{}", paused[39]);
    screen.update(Err(Failure::system("cannot fetch http://127.0.0.1:9478/status.json")), &mut last);
    assert_eq!(shown(&mut screen, 40)[39], "trying again: cannot fetch http://127.0.0.1:9478/status.json");
    screen.update(Ok(status(14, 9000)), &mut last);
    assert!(shown(&mut screen, 40)[39].starts_with("q quits"));
}
