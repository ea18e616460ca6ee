//! The result of NAT behaviour discovery, as text and as JSON.

use super::super::report::{nat, push_line};
use super::{Behaviour, Dependence, NatFindings, NoDiscovery};
use serde_json::{Value, json};

impl Dependence {
    /// Returns the term of RFC 4787.
    fn name(self) -> &'static str {
        match self {
            Dependence::None => "endpoint-independent",
            Dependence::Address => "address-dependent",
            Dependence::AddressAndPort => "address- and port-dependent",
        }
    }
}

/// Returns lines of text; none if there are no findings.
pub(super) fn text(result: &Result<NatFindings, NoDiscovery>) -> String {
    let Ok(findings) = result else { return String::new() };
    let mut text = String::new();
    let behind_nat = findings.behind_nat();
    push_line(&mut text, "mapped address", &findings.mapped.to_string());
    push_line(&mut text, "local address", &findings.local.to_string());
    push_line(&mut text, "server", &format!("{} and {}", findings.server, findings.other));
    push_line(&mut text, "NAT", nat(behind_nat));
    let mapping = behaviour(&findings.mapping, |dependence| match dependence {
        Dependence::None if !behind_nat => "no address is mapped",
        Dependence::None => "every peer sees the same mapped address and port",
        Dependence::Address => "each peer address sees another mapped address or port",
        Dependence::AddressAndPort => "each peer address and port sees another mapped address or port",
    });
    push_line(&mut text, "mapping", &mapping);
    let filtering = behaviour(&findings.filtering, |dependence| match dependence {
        Dependence::None => "any host can send to the mapped address",
        Dependence::Address => "only an address that was sent to can reply, from any port",
        Dependence::AddressAndPort => "only an address and port that was sent to can reply",
    });
    push_line(&mut text, "filtering", &filtering);
    if let Some(hairpinning) = findings.hairpinning {
        let meaning = match hairpinning {
            true => "yes: hosts behind the NAT reach each other by their mapped addresses",
            false => "no: hosts behind the NAT do not reach each other by their mapped addresses",
        };
        push_line(&mut text, "hairpinning", meaning);
    }
    text
}

fn behaviour(behaviour: &Behaviour, meaning: impl Fn(Dependence) -> &'static str) -> String {
    match behaviour {
        Ok(dependence) => format!("{}: {}", dependence.name(), meaning(*dependence)),
        Err(reason) => format!("unknown: {reason}"),
    }
}

/// Returns one JSON object on one line.
pub(super) fn json(result: &Result<NatFindings, NoDiscovery>) -> String {
    let name = |behaviour: &Behaviour| behaviour.as_ref().ok().map(|dependence| dependence.name());
    let object = match result {
        Ok(findings) => {
            let unknown = [&findings.mapping, &findings.filtering].into_iter().find_map(|b| b.as_ref().err());
            let error = match unknown {
                None => Value::Null,
                Some(reason) => json!({ "kind": "unknown", "message": reason }),
            };
            json!({
                "server": findings.server.to_string(),
                "other_address": findings.other.to_string(),
                "local": findings.local.to_string(),
                "mapped": findings.mapped.to_string(),
                "behind_nat": findings.behind_nat(),
                "mapping": name(&findings.mapping),
                "filtering": name(&findings.filtering),
                "hairpinning": findings.hairpinning,
                "error": error,
            })
        }
        Err(reason) => json!({
            "server": reason.server.to_string(),
            "error": { "kind": reason.kind, "message": reason.message },
        }),
    };
    format!("{object}\n")
}
