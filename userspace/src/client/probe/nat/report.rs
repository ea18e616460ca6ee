//! What the tests found, for a person and for a program.

use super::{Behaviour, Dependence, Findings, Obstacle};
use serde_json::{Value, json};
use std::fmt::Write as _;

impl Dependence {
    /// As RFC 4787 says it.
    fn name(self) -> &'static str {
        match self {
            Dependence::Endpoint => "endpoint-independent",
            Dependence::Address => "address-dependent",
            Dependence::AddressAndPort => "address- and port-dependent",
        }
    }
}

/// Lines for a person; none where nothing was found out.
pub(super) fn text(found: &Result<Findings, Obstacle>) -> String {
    let Ok(found) = found else { return String::new() };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    line("mapped address", &found.mapped.to_string());
    line("local address", &found.local.to_string());
    line("server", &format!("{} and {}", found.server, found.other));
    line(
        "NAT",
        match found.behind_nat() {
            true => "yes: the mapped address is not the local one",
            false => "no NAT: the mapped address is the local one",
        },
    );
    let nat = found.behind_nat();
    let mapping = behaviour(&found.mapping, |dependence| match dependence {
        Dependence::Endpoint if !nat => "nothing is mapped",
        Dependence::Endpoint => "every peer sees the same address and port",
        Dependence::Address => "each address of a peer sees another address or port",
        Dependence::AddressAndPort => "each peer sees another address or port",
    });
    line("mapping", &mapping);
    let filtering = behaviour(&found.filtering, |dependence| match dependence {
        Dependence::Endpoint => "whoever sends to the mapped address gets through",
        Dependence::Address => "who was sent to gets through, from any port",
        Dependence::AddressAndPort => "only the address and port that was sent to gets through",
    });
    line("filtering", &filtering);
    if let Some(hairpinning) = found.hairpinning {
        line(
            "hairpinning",
            match hairpinning {
                true => "yes: hosts behind the NAT reach each other by their mapped addresses",
                false => "no: hosts behind the NAT do not reach each other by their mapped addresses",
            },
        );
    }
    text
}

fn behaviour(behaviour: &Behaviour, words: impl Fn(Dependence) -> &'static str) -> String {
    match behaviour {
        Ok(dependence) => format!("{}: {}", dependence.name(), words(*dependence)),
        Err(why) => format!("unknown: {why}"),
    }
}

/// One object on one line.
pub(super) fn json(found: &Result<Findings, Obstacle>) -> String {
    let name = |behaviour: &Behaviour| behaviour.as_ref().ok().map(|dependence| dependence.name());
    let object = match found {
        Ok(found) => {
            let unknown: Vec<&String> = [&found.mapping, &found.filtering]
                .into_iter()
                .filter_map(|found| found.as_ref().err())
                .collect();
            let error = match unknown.as_slice() {
                [] => Value::Null,
                [first, ..] => json!({ "kind": "unknown", "message": first }),
            };
            json!({
                "server": found.server.to_string(),
                "other_address": found.other.to_string(),
                "local": found.local.to_string(),
                "mapped": found.mapped.to_string(),
                "behind_nat": found.behind_nat(),
                "mapping": name(&found.mapping),
                "filtering": name(&found.filtering),
                "hairpinning": found.hairpinning,
                "error": error,
            })
        }
        Err(obstacle) => json!({
            "server": obstacle.server.to_string(),
            "error": { "kind": obstacle.kind, "message": obstacle.sentence },
        }),
    };
    format!("{object}\n")
}
