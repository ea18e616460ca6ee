//! The status page in a browser.

use crate::browser::HEADLESS;
use crate::clients::is_program_installed;
use crate::metrics::{FLAGS, METRICS, ask};
use crate::modes::{KERNEL_GENERIC, NATIVE};
use xstun_testkit::lab::{Lab, Namespace};

/// Opens the page, runs it for 8 s of virtual time, and returns its DOM and the browser's log.
fn render(namespace: &Namespace) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let profile = format!("--user-data-dir={}", home.path().display());
    let home_variable = format!("HOME={}", home.path().display());
    let page = format!("http://{METRICS}/");
    let mut words = vec!["env", &home_variable, "chromium"];
    words.extend(HEADLESS);
    words.extend([&profile, "--virtual-time-budget=8000", "--enable-logging=stderr", "--dump-dom", &page]);
    let output = namespace.output(&words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (page, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}: {log}", output.status);
    (page, log)
}

/// The text of the element with this id.
fn text_of<'a>(page: &'a str, id: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!(" id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    let (_, text) = rest.split_once('>').unwrap();
    text.split('<').next().unwrap()
}

/// The cell texts of a table's body, by row.
fn rows(page: &str, id: &str) -> Vec<Vec<String>> {
    let (_, table) = page.split_once(&format!(" id=\"{id}\"")).unwrap_or_else(|| panic!("no {id} in {page}"));
    let (table, _) = table.split_once("</table>").unwrap();
    let (_, body) = table.split_once("<tbody>").unwrap();
    let cell = |cell: &str| cell.split_once('>').unwrap().1.split('<').next().unwrap().to_owned();
    body.split("<tr>").skip(1).map(|row| row.split("<td").skip(1).map(cell).collect()).collect()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn chromium_renders_the_status_page() {
    if !is_program_installed("chromium", "apt-get install chromium") {
        return;
    }
    let lab = Lab::new(2);
    let interface = lab.link().server_interface.as_str();
    let server = NATIVE.serve(&lab, &FLAGS);
    ask(&lab, 30);
    let (page, log) = render(&lab.server);
    // Violations of the content security policy and script errors are logged as CONSOLE.
    assert!(!log.contains("CONSOLE"), "{log}");
    assert_eq!(text_of(&page, "state"), "ready", "{page}");
    assert!(page.contains("id=\"trouble\" class=\"note\" hidden"), "{page}");
    for figure in ["replies", "received", "lost"] {
        assert!(text_of(&page, figure).starts_with(|c: char| c.is_ascii_digit()), "{figure}: {page}");
    }
    assert!(page.contains("id=\"line\" d=\"M"), "the chart has a line: {page}");
    let interfaces = rows(&page, "interfaces");
    assert_eq!(
        (&interfaces[0][0][..], &interfaces[0][2][..]),
        (interface, "2 native-copy"),
        "{interfaces:?}"
    );
    assert_eq!(interfaces[0][4], "off: --kernel-answers off", "{interfaces:?}");
    let workers = rows(&page, "workers");
    for queue in 0..2 {
        let expected = format!("{interface}, queue {queue}");
        assert!(workers.iter().any(|row| row[..2] == ["af-xdp".to_owned(), expected.clone()]), "{workers:?}");
    }
    assert!(page.contains("<rect class=\"fill\""), "{page}");
    let outcomes = rows(&page, "outcomes");
    let answered = outcomes.iter().find(|row| row[0] == "answered").unwrap_or_else(|| panic!("{outcomes:?}"));
    assert!(answered[2].parse::<u64>().unwrap() >= 30, "{outcomes:?}");
    let stepped_down = rows(&page, "stepdowns");
    assert_eq!(
        (&stepped_down[0][1][..], &stepped_down[0][2][..]),
        (interface, "zero-copy"),
        "{stepped_down:?}"
    );
    server.stop();
}

/// What the XDP program answers has a row of its own, and counts in the sums.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn chromium_shows_what_the_program_answers() {
    if !is_program_installed("chromium", "apt-get install chromium") {
        return;
    }
    let lab = Lab::new(1);
    let interface = lab.link().server_interface.as_str();
    let server = KERNEL_GENERIC.serve(&lab, &FLAGS);
    ask(&lab, 30);
    let (page, log) = render(&lab.server);
    assert!(!log.contains("CONSOLE"), "{log}");
    let interfaces = rows(&page, "interfaces");
    assert!(interfaces[0][4].starts_with("on: generic mode"), "{interfaces:?}");
    let workers = rows(&page, "workers");
    let program = ["xdp".to_owned(), format!("{interface}, XDP program")];
    assert!(workers.iter().any(|row| row[..2] == program), "{workers:?}");
    let outcomes = rows(&page, "outcomes");
    let answered = outcomes.iter().find(|row| row[0] == "answered").unwrap_or_else(|| panic!("{outcomes:?}"));
    assert!(answered[2].parse::<u64>().unwrap() >= 30, "{outcomes:?}");
    server.stop();
}
