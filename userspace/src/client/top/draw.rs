//! The view of a server as lines, the same on a terminal and in a file.

use super::ServerView;
use super::rates::WorkerRates;
use super::text::{brief, brief_or_dash, grouped, time};
use crate::status::{InterfaceStatus, ServerStatus, WorkerStatus};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use std::collections::BTreeMap;
use xstun_core::classify::Verdict;

/// Names of the verdicts that redirect a frame to a worker.
const REDIRECTED: [&str; 2] = [Verdict::Redirect.name(), Verdict::RedirectNoRoom.name()];
/// Name of the verdict that answers a request.
const ANSWERED: &str = Verdict::Answered.name();

const PLAIN: Style = Style::new();
const QUIET: Style = Style::new().add_modifier(Modifier::DIM);
const TITLE: Style = Style::new().add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red);

/// A column's title, and whether its cells are right-aligned.
type Column = (&'static str, bool);
type Cell = (String, Style);

/// Returns the lines that do not scroll: version, state and sums.
pub(super) fn header(view: &ServerView) -> Vec<Line<'static>> {
    let status = &view.status;
    let rates = view.rates.as_ref();
    let state = if status.state == "serving" { GOOD } else { WARN };
    let mut first = vec![
        Span::styled(format!("xstun {}", status.version), TITLE),
        Span::raw("  "),
        Span::styled(status.state.clone(), state),
        Span::raw(format!("  up {}  ", time(status.uptime))),
        Span::styled(format!("http://{}", view.server), QUIET),
    ];
    let hanging = status.workers.iter().filter(|worker| !worker.ticking && !worker.ended).count();
    if hanging > 0 {
        first.push(Span::styled(format!("  {hanging} hanging"), BAD));
    }
    let lost = rates.map(|rates| rates.lost);
    let open: u64 = status.streams.iter().map(|stream| stream.open).sum();
    let process = &status.process;
    let second = vec![
        Span::raw("replies "),
        Span::styled(format!("{}/s", brief_or_dash(rates.map(|rates| rates.replies))), TITLE),
        Span::raw(format!("  received {}/s  lost ", brief_or_dash(rates.map(|rates| rates.received)))),
        Span::styled(format!("{}/s", brief_or_dash(lost)), bad_if(lost.unwrap_or(0.0) > 0.0)),
        Span::raw(format!(
            "  connections {open}  cores {}  memory {} MiB  files {} of {}",
            rates.map_or_else(|| "-".to_owned(), |rates| format!("{:.2}", rates.cores)),
            process.resident_bytes >> 20,
            process.open_fds,
            process.max_fds
        )),
    ];
    vec![Line::from(first), Line::from(second)]
}

/// Returns the lines that scroll, section by section.
pub(super) fn body(view: &ServerView) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let sections =
        [workers(view), interfaces(view), kernel_answers(view), outcomes(view), step_downs(&view.status)];
    for section in sections {
        if !section.is_empty() {
            lines.push(Line::default());
            lines.extend(section);
        }
    }
    lines
}

/// Returns the whole view as text.
pub(super) fn plain(view: &ServerView) -> String {
    let lines = header(view).into_iter().chain(body(view));
    lines.map(|line| line.to_string().trim_end().to_owned() + "\n").collect()
}

fn workers(view: &ServerView) -> Vec<Line<'static>> {
    const COLUMNS: [Column; 12] = [
        ("PATH", false),
        ("QUEUE", false),
        ("CORE", true),
        ("RECEIVED/s", true),
        ("REPLIES/s", true),
        ("BATCH", true),
        ("WAKE-UPS/s", true),
        ("DROPPED/s", true),
        ("FREE", true),
        ("FILL", true),
        ("HELD", true),
        ("TRANSMIT", true),
    ];
    let status = &view.status;
    let rates = view.rates.as_ref().map(|rates| rates.workers.as_slice()).unwrap_or_default();
    let mut rows = Vec::new();
    for (index, worker) in status.workers.iter().enumerate() {
        rows.push(worker_row(worker, rates.get(index)));
    }
    for (index, stream) in status.streams.iter().enumerate() {
        let rate = rates.get(status.workers.len() + index);
        let mut row = vec![
            (stream.path.clone(), bad_if(!stream.ticking)),
            (format!("{} open", stream.open), PLAIN),
            (String::new(), PLAIN),
        ];
        row.extend([number(rate.map(|rate| rate.received)), number(rate.map(|rate| rate.replies))]);
        rows.push(row);
    }
    table(&COLUMNS, rows)
}

fn worker_row(worker: &WorkerStatus, rate: Option<&WorkerRates>) -> Vec<Cell> {
    let queue = match (&worker.interface, worker.queue) {
        (Some(interface), Some(queue)) => format!("{interface} q{queue}"),
        _ => String::new(),
    };
    let mut row = vec![
        (worker.path.clone(), bad_if(!worker.ticking)),
        (
            if worker.ended {
                format!("{queue} ended")
            } else if worker.ticking {
                queue
            } else {
                format!("{queue} hangs")
            },
            bad_if(!worker.ticking),
        ),
        (worker.core.to_string(), PLAIN),
        number(rate.map(|rate| rate.received)),
        number(rate.map(|rate| rate.replies)),
        (rate.and_then(|rate| rate.batch).map_or_else(|| "-".to_owned(), |n| format!("{n:.1}")), PLAIN),
        number(rate.map(|rate| rate.wakeups)),
    ];
    if worker.queue.is_some() {
        let dropped = rate.map(|rate| rate.dropped);
        row.push((brief_or_dash(dropped), bad_if(dropped.unwrap_or(0.0) > 0.0)));
        let level = |name| worker.frames.get(name).copied().unwrap_or(0);
        row.extend(["free", "fill", "held", "transmit"].map(|name| (level(name).to_string(), PLAIN)));
    }
    row
}

fn interfaces(view: &ServerView) -> Vec<Line<'static>> {
    const COLUMNS: [Column; 7] = [
        ("INTERFACE", false),
        ("QUEUES BY RUNG", false),
        ("PROGRAM", false),
        ("TO WORKERS/s", true),
        ("PASSED/s", true),
        ("LOST/s", true),
        ("STEP-DOWNS", true),
    ];
    let row = |interface: &InterfaceStatus| {
        let rungs = interface.queues.iter().filter(|(_, count)| **count > 0);
        let rungs: Vec<String> = rungs.map(|(rung, count)| format!("{count} {rung}")).collect();
        let program = match (interface.attached, interface.delivering) {
            (None, _) => ("none", QUIET),
            (Some(false), _) => ("not attached", BAD),
            (Some(true), Some(false)) => ("no frames arrive", BAD),
            (Some(true), _) => ("attached", GOOD),
        };
        let verdicts = view.rates.as_ref().and_then(|rates| rates.verdicts.get(&interface.name));
        let verdicts = verdicts.filter(|verdicts| !verdicts.is_empty());
        let lost = view.rates.as_ref().and_then(|rates| rates.driver_lost.get(&interface.name)).copied();
        let of_verdicts = |of: &BTreeMap<String, f64>, names: &[&str]| -> f64 {
            names.iter().filter_map(|name| of.get(*name)).sum()
        };
        let redirected = |of: &BTreeMap<String, f64>| of_verdicts(of, &REDIRECTED);
        let taken = |of: &BTreeMap<String, f64>| redirected(of) + of_verdicts(of, &[ANSWERED]);
        vec![
            (interface.name.clone(), PLAIN),
            (rungs.join(", "), PLAIN),
            (program.0.to_owned(), program.1),
            number(verdicts.map(redirected)),
            number(verdicts.map(|of| (of.values().sum::<f64>() - taken(of)).max(0.0))),
            match lost.filter(|_| !interface.lost.is_empty() || interface.driver_errors.is_some()) {
                Some(lost) => (brief(lost), bad_if(lost > 0.0)),
                None => number(None),
            },
            (interface.step_downs.to_string(), PLAIN),
        ]
    };
    let rows: Vec<_> = view.status.interfaces.iter().map(row).collect();
    if rows.is_empty() { Vec::new() } else { table(&COLUMNS, rows) }
}

/// Whether each XDP program answers plain requests, how many, and why.
fn kernel_answers(view: &ServerView) -> Vec<Line<'static>> {
    const COLUMNS: [Column; 4] =
        [("KERNEL ANSWERS", false), ("STATE", false), ("REPLIES/s", true), ("REASON", false)];
    let row = |interface: &InterfaceStatus| {
        let answers = interface.kernel_answers.as_ref()?;
        let state = if answers.serving { ("on", GOOD) } else { ("off", QUIET) };
        let rate = view.rates.as_ref().and_then(|rates| rates.kernel_answers.get(&interface.name));
        Some(vec![
            (interface.name.clone(), PLAIN),
            (state.0.to_owned(), state.1),
            number(rate.map(|rate| rate.replies)),
            (answers.reason.clone(), PLAIN),
        ])
    };
    let rows: Vec<_> = view.status.interfaces.iter().filter_map(row).collect();
    if rows.is_empty() { Vec::new() } else { table(&COLUMNS, rows) }
}

/// The outcomes that ever happened, by rate, the highest first.
fn outcomes(view: &ServerView) -> Vec<Line<'static>> {
    let status = &view.status;
    let counts = status.workers.iter().map(|worker| &worker.counts);
    let counts = counts.chain(status.streams.iter().map(|stream| &stream.counts));
    let answers = status.interfaces.iter().filter_map(|interface| interface.kernel_answers.as_ref());
    let counts = counts.chain(answers.map(|answers| &answers.counts));
    let mut totals: BTreeMap<&str, u64> = BTreeMap::new();
    for (outcome, count) in counts.flat_map(|counts| &counts.outcomes) {
        *totals.entry(outcome).or_default() += count;
    }
    let rate = |outcome: &str| view.rates.as_ref().and_then(|rates| rates.outcomes.get(outcome)).copied();
    let mut seen: Vec<_> = totals.into_iter().filter(|(_, count)| *count > 0).collect();
    seen.sort_by(|(one, total), (other, other_total)| {
        let rates = rate(other).unwrap_or(0.0).total_cmp(&rate(one).unwrap_or(0.0));
        rates.then(other_total.cmp(total))
    });
    let row = |(outcome, count): (&str, u64)| {
        vec![(outcome.to_owned(), PLAIN), number(rate(outcome)), (grouped(count), PLAIN)]
    };
    let mut rows: Vec<_> = seen.into_iter().map(row).collect();
    if rows.is_empty() {
        rows.push(vec![("no datagrams yet".to_owned(), QUIET)]);
    }
    table(&[("OUTCOME", false), ("PER SECOND", true), ("TOTAL", true)], rows)
}

fn step_downs(status: &ServerStatus) -> Vec<Line<'static>> {
    let rows = status.step_downs.iter().rev().map(|step| {
        let ago = format!("{} ago", time(status.uptime - step.at));
        [ago, step.interface.clone(), step.from.clone(), step.reason.clone()]
            .map(|text| (text, PLAIN))
            .to_vec()
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    table(&[("STEP-DOWN", false), ("INTERFACE", false), ("FROM", false), ("REASON", false)], rows)
}

fn number(rate: Option<f64>) -> Cell {
    let style = if rate == Some(0.0) { QUIET } else { PLAIN };
    (brief_or_dash(rate), style)
}

fn bad_if(bad: bool) -> Style {
    if bad { BAD } else { PLAIN }
}

/// Returns the rows below their titles, each column as wide as its widest cell.
fn table(columns: &[Column], rows: Vec<Vec<Cell>>) -> Vec<Line<'static>> {
    let width = |text: &str| text.chars().count();
    let mut widths: Vec<usize> = columns.iter().map(|(title, _)| width(title)).collect();
    for row in &rows {
        for (widest, (text, _)) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(text));
        }
    }
    let line = |row: Vec<Cell>| {
        let mut spans = Vec::with_capacity(row.len());
        for (((text, style), (_, right)), widest) in row.into_iter().zip(columns).zip(&widths) {
            let space = " ".repeat(widest - width(&text));
            let text = if *right { format!("{space}{text}  ") } else { format!("{text}{space}  ") };
            spans.push(Span::styled(text, style));
        }
        Line::from(spans)
    };
    let titles = columns.iter().map(|(title, _)| ((*title).to_owned(), QUIET)).collect();
    std::iter::once(titles).chain(rows).map(line).collect()
}

/// Returns the last line: what the keys do, or why the view is old.
pub(super) fn footer(failure: Option<&str>, paused: bool, interval: f64) -> Line<'static> {
    if let Some(failure) = failure {
        return Line::styled(format!("trying again: {failure}"), BAD);
    }
    let every = if paused { "paused".to_owned() } else { format!("every {} s", brief(interval)) };
    Line::styled(format!("q quits  arrows scroll  Space pauses  {every}"), QUIET)
}
