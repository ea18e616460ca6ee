use super::super::ServerView;
use super::super::tests::{SERVER, status};
use super::ScreenState;
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
