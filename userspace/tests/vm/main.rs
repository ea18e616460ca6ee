//! Runs inside a guest of `cargo xtask vm`: tests the server on each of the guest's NICs, with a client in
//! another namespace on the same wire. Each result is a line of JSON on the guest's second serial port.

mod answers;
mod ask;
mod case;
mod checks;
mod life;
mod report;
mod stage;
mod suites;
mod verifier;

use case::Case;
use report::Report;

fn main() {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("this runs inside the guests of `cargo xtask vm`: cargo xtask vm --help");
        std::process::exit(2);
    };
    let report = Report::open();
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    verifier::run(&report);
    for case in Case::read(&text) {
        ask::all(&case, &report);
    }
    suites::run(&report);
    report.end();
}
