use super::super::View;
use super::super::tests::{SERVER, status};
use super::Picture;
use crate::error::Failure;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

fn picture() -> Picture {
    let view = View::new(SERVER, Some(&status(10, 1000)), status(11, 1000));
    Picture { view, trouble: None, held: false, scroll: 0, interval: 1.0 }
}

/// The lines that a terminal of this height shows.
fn shown(picture: &mut Picture, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(120, height)).unwrap();
    terminal.draw(|frame| picture.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..120).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn head_and_foot_stay_while_the_rest_scrolls_to_its_end_and_no_further() {
    let mut picture = picture();
    let whole = shown(&mut picture, 40);
    assert!(whole[0].starts_with("xstun 1.2.3") && whole[39].starts_with("q ends"), "{whole:#?}");
    let first = shown(&mut picture, 8);
    assert!(first[3].starts_with("PATH"), "{first:#?}");
    for _ in 0..100 {
        assert!(!picture.ends(key(KeyCode::PageDown)));
    }
    let last = shown(&mut picture, 8);
    assert_eq!((&last[0], &last[7]), (&first[0], &first[7]));
    assert!(last[6].contains("no table knows the driver"), "{last:#?}");
    assert!(!picture.ends(key(KeyCode::Home)));
    assert_eq!(shown(&mut picture, 8), first);
    // Too small for anything, and no panic.
    shown(&mut picture, 1);
}

#[test]
fn the_keys_that_end_it_do() {
    let mut picture = picture();
    assert!(picture.ends(key(KeyCode::Char('q'))) && picture.ends(key(KeyCode::Esc)));
    assert!(picture.ends(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(!picture.ends(key(KeyCode::Char('c'))));
}

#[test]
fn a_held_picture_stays_and_a_server_that_is_gone_is_told() {
    let mut picture = picture();
    let mut last = status(11, 1000);
    picture.take(Ok(status(12, 2000)), &mut last);
    assert_eq!(last.uptime, status(12, 0).uptime);
    let before = shown(&mut picture, 40);
    assert!(!picture.ends(key(KeyCode::Char(' '))));
    picture.take(Ok(status(13, 9000)), &mut last);
    let held = shown(&mut picture, 40);
    assert_eq!(held[..39], before[..39]);
    assert!(held[39].ends_with("held"), "{}", held[39]);
    picture.take(Err(Failure::system("cannot ask http://127.0.0.1:9478/status.json")), &mut last);
    assert_eq!(shown(&mut picture, 40)[39], "trying again: cannot ask http://127.0.0.1:9478/status.json");
    picture.take(Ok(status(14, 9000)), &mut last);
    assert!(shown(&mut picture, 40)[39].starts_with("q ends"));
}
