//! The expressions of `deploy/grafana/xstun.json` name only metrics, labels and values that exist.

use super::super::all;
use crate::status::XDP_PATH;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use xstun_core::outcome::Outcome;

/// Labels that Prometheus adds when it scrapes.
const ADDED: [&str; 2] = ["job", "instance"];

fn dashboard() -> Value {
    serde_json::from_str(include_str!("../../../../../../deploy/grafana/xstun.json")).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value:#}"))
}

fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let of_panels = targets.map(|target| text(target, "expr").to_owned());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let of_variables = variables.filter(|variable| variable["type"] == "query").map(|variable| {
        assert_eq!(
            variable["query"]["query"], variable["definition"],
            "Grafana shows the one and sends the other"
        );
        text(variable, "definition").to_owned()
    });
    of_panels.chain(of_variables).collect()
}

/// Returns the words of an expression outside quotes, each with the text after it.
fn words(expression: &str) -> Vec<(&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut rest, mut found, mut quoted) = (expression, Vec::new(), false);
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        if length == 0 || quoted {
            quoted ^= first == '"';
            rest = &rest[first.len_utf8()..];
        } else {
            found.push((&rest[..length], &rest[length..]));
            rest = &rest[length..];
        }
    }
    found
}

/// Returns the matchers in the braces at the start of `rest`: label and value.
fn matchers(rest: &str) -> Vec<(&str, &str)> {
    let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return Vec::new();
    };
    inside
        .split(',')
        .map(|matcher| {
            let (label, value) = matcher.split_at(matcher.find(['=', '!']).unwrap());
            (label, value.trim_start_matches(['=', '!', '~']).trim_matches('"'))
        })
        .collect()
}

#[test]
fn every_expression_names_a_metric_and_every_metric_is_shown() {
    let families: HashMap<_, _> = all().map(|family| (family.name, family.labels)).collect();
    let mut shown = BTreeSet::new();
    for expression in expressions(&dashboard()) {
        let mut known: BTreeSet<&str> = ADDED.into();
        let metrics: Vec<_> = words(&expression)
            .into_iter()
            .filter(|(word, _)| word.contains('_') && !is_function(word))
            .collect();
        for (word, rest) in metrics {
            let labels =
                families.get(word).unwrap_or_else(|| panic!("{word} of {expression} is not a metric"));
            shown.insert(word.to_owned());
            known.extend(labels.iter());
            for (label, value) in matchers(rest) {
                assert!(
                    labels.contains(&label) || ADDED.contains(&label),
                    "{word} has no {label}: {expression}"
                );
                check(label, value, &expression);
            }
        }
        for by in expression.match_indices("by (").map(|(at, _)| &expression[at + 4..]) {
            let (inside, _) = by.split_once(')').unwrap();
            for label in inside.split(", ") {
                assert!(known.contains(label), "nothing has the label {label}: {expression}");
            }
        }
    }
    let missing: Vec<_> = families.keys().filter(|name| !shown.contains(**name)).collect();
    assert!(missing.is_empty(), "the dashboard does not show {missing:?}");
}

fn is_function(word: &str) -> bool {
    ["label_values", "__rate_interval"].contains(&word)
}

/// Checks that the label can have this value, unless it is a variable.
fn check(label: &str, value: &str, expression: &str) {
    let possible: Vec<&str> = match label {
        _ if value.starts_with('$') => return,
        "outcome" => Outcome::ALL.map(Outcome::name).into(),
        "verdict" => xstun_core::classify::Verdict::ALL.map(|verdict| verdict.name()).into(),
        "path" => vec!["af-xdp", "sockets", "tcp", "tls", XDP_PATH],
        _ => panic!("{label} should be a variable in {expression}"),
    };
    for one in value.split('|') {
        assert!(possible.contains(&one), "{label} is never {one:?}: {expression}");
    }
}

#[test]
fn the_panel_of_replies_counts_what_the_core_calls_replies() {
    let replies: Vec<_> =
        Outcome::ALL.into_iter().filter(|outcome| outcome.is_reply()).map(Outcome::name).collect();
    let panels = dashboard();
    let panel =
        panels["panels"].as_array().unwrap().iter().find(|panel| panel["title"] == "Replies").unwrap();
    let expression = text(&panel["targets"][0], "expr");
    assert!(expression.contains(&format!("outcome=~\"{}\"", replies.join("|"))), "{expression}");
}

#[test]
fn panels_do_not_overlap_and_have_unique_numbers() {
    let dashboard = dashboard();
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel:#}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel:#}");
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                assert!(cells.insert((x, y)), "{} overlaps another panel", panel["title"]);
            }
        }
    }
}

#[test]
fn the_words_of_an_expression_are_found() {
    let found = words(r#"sum by (a_b) (rate(x_y{c="d_e",f!~"g|h"}[5m]))"#);
    let found: Vec<_> = found.iter().map(|(word, _)| *word).collect();
    assert_eq!(found, ["sum", "by", "a_b", "rate", "x_y", "c", "f", "5m"]);
    assert_eq!(matchers(r#"{c="d_e",f!~"g|h"}[5m]"#), [("c", "d_e"), ("f", "g|h")]);
}
