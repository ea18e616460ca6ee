//! Which module of `userspace` may use which: the arrows of `docs/architecture.md`, checked.

use super::Finding;
use super::source::{Source, starts_word, words};

/// What a module and everything below it may use of this crate. It may always use what is below
/// itself. The rule of the longest matching name holds.
struct Rule {
    module: &'static str,
    may: &'static [&'static str],
    /// What is out of bounds though `may` names something above it.
    never: &'static [&'static str],
}

const fn rule(module: &'static str, may: &'static [&'static str]) -> Rule {
    Rule { module, may, never: &[] }
}

const SERVING: &[&str] = &[
    "answer",
    "config",
    "datapath",
    "error",
    "frame",
    "interface",
    "kernel",
    "outcome",
    "privileges",
    "served",
    "stats",
    "stop",
    "stun",
];

const RULES: &[Rule] = &[
    rule("outcome", &[]),
    rule("error", &[]),
    rule("kernel", &[]),
    rule("stop", &[]),
    rule("privileges", &["error", "kernel"]),
    rule("insecure", &[]),
    rule("status", &[]),
    rule("cli", &[]),
    rule("served", &[]),
    rule("stats", &["outcome"]),
    rule("stun", &["outcome"]),
    rule("users", &["error"]),
    rule("frame", &["outcome", "served"]),
    rule("answer", &["frame", "outcome", "served", "stun"]),
    rule("interface", &["error", "served"]),
    rule("config", &["cli", "error", "interface", "status", "stun"]),
    rule("settings", &["cli", "config", "error"]),
    rule("datapath", SERVING),
    Rule { module: "datapath::af_xdp", may: SERVING, never: &["datapath::socket"] },
    Rule { module: "datapath::socket", may: SERVING, never: &["datapath::af_xdp"] },
    rule("control::log", &["cli", "error"]),
    rule(
        "control",
        &[
            "config",
            "datapath",
            "error",
            "insecure",
            "interface",
            "outcome",
            "privileges",
            "served",
            "settings",
            "stats",
            "status",
            "stop",
            "stun",
            "users",
        ],
    ),
    rule("client", &["cli", "error", "insecure", "outcome", "status", "stop", "stun", "users"]),
    rule("client::load", &["cli", "client", "datapath::socket", "error", "stats", "stop"]),
    rule(
        "client::load::af_xdp",
        &["cli", "client", "config", "datapath", "error", "interface", "served", "stats", "stop"],
    ),
    rule("doctor", &["cli", "datapath", "error", "interface", "kernel"]),
];

/// Modules over memory alone, that know no sockets, clocks, threads or logs.
const PURE: [&str; 5] = ["answer", "frame", "outcome", "served", "stun"];
/// What they would know them by.
const IMPURE: [&str; 12] = [
    "UdpSocket",
    "aya",
    "eprintln",
    "libc",
    "println",
    "rustix",
    "std::fs",
    "std::io",
    "std::thread",
    "std::time",
    "tokio",
    "tracing",
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(module) = module(&source.name) else { return Vec::new() };
    let name = module.join("::");
    let mut findings = Vec::new();
    let rule = RULES.iter().filter(|rule| is_below(&name, rule.module)).max_by_key(|rule| rule.module.len());
    let Some(rule) = rule else {
        let text = format!(
            "module `{name}` has no arrows; put it into docs/architecture.md and into xtask/src/tidy/arrows.rs"
        );
        return vec![source.finding(1, text)];
    };
    for (offset, used) in used(&source.code, &module) {
        let line = source.line_of(offset);
        if source.is_test(line) || used.is_empty() || rule.allows(&used) {
            continue;
        }
        findings.push(source.finding(
            line,
            format!(
                "`{name}` uses `crate::{used}`, and no arrow of docs/architecture.md goes that way; move the shared \
                 code to what both may use, or change the map and xtask/src/tidy/arrows.rs together"
            ),
        ));
    }
    if PURE.iter().any(|pure| is_below(&name, pure)) {
        findings.extend(impurities(source, &name));
    }
    findings
}

impl Rule {
    fn allows(&self, used: &str) -> bool {
        let in_any = |names: &[&str]| names.iter().any(|name| is_below(used, name));
        is_below(used, self.module) || (in_any(self.may) && !in_any(self.never))
    }
}

/// Whether this path is `module`, or below it.
fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn impurities(source: &Source, name: &str) -> Vec<Finding> {
    let places = IMPURE.iter().flat_map(|word| words(&source.code, word).map(move |offset| (offset, word)));
    places
        .map(|(offset, word)| (source.line_of(offset), word))
        .filter(|(line, _)| !source.is_test(*line))
        .map(|(line, word)| {
            let text = format!(
                "`{name}` uses `{word}`, but is a function over memory; take what it needs as an argument"
            );
            source.finding(line, text)
        })
        .collect()
}

/// Path of the module that stands in this file; nothing for the crate's root and for other crates.
fn module(file: &str) -> Option<Vec<String>> {
    let path = file.strip_prefix("userspace/src/")?.strip_suffix(".rs")?;
    let module: Vec<_> = path.split('/').map(str::to_owned).collect();
    (path != "main" && path != "lib").then_some(module)
}

/// Paths within this crate that the code names, each with its offset, from `crate::` and `super::`.
/// They are written from the crate's root.
fn used(code: &str, module: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("crate::").filter(|&(offset, _)| starts_path(code, offset)) {
        paths(code, offset + "crate::".len(), &mut Vec::new(), &mut found);
    }
    for (offset, _) in code.match_indices("super::").filter(|&(offset, _)| starts_path(code, offset)) {
        let mut rest = &code[offset..];
        let mut base = module.to_vec();
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        paths(code, code.len() - rest.len(), &mut base, &mut found);
    }
    found
}

fn starts_path(code: &str, offset: usize) -> bool {
    starts_word(code, offset) && !code[..offset].ends_with("::")
}

/// Reads the path, or the tree of paths in braces, at `at`, behind `base`. Gives the offset behind it.
fn paths(code: &str, mut at: usize, base: &mut Vec<String>, found: &mut Vec<(usize, String)>) -> usize {
    let depth = base.len();
    loop {
        at = skip_space(code, at);
        let word = code[at..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len() - at);
        if word == 0 {
            break;
        }
        if &code[at..at + word] != "self" {
            base.push(code[at..at + word].to_owned());
        }
        let after = skip_space(code, at + word);
        if !code[after..].starts_with("::") {
            found.push((at, base.join("::")));
            base.truncate(depth);
            return after;
        }
        at = after + 2;
    }
    if code[at..].starts_with('{') {
        at += 1;
        while at < code.len() && !code[at..].starts_with('}') {
            at = paths(code, at, base, found);
            // Past `as name` and the comma, to the next path or the end of the braces.
            at += code[at..].find([',', '}']).unwrap_or(code.len() - at);
            at = skip_space(code, at + usize::from(code[at..].starts_with(',')));
        }
        at = (at + 1).min(code.len());
    } else {
        // A glob, or generic arguments behind `::`.
        found.push((at, base.join("::")));
    }
    base.truncate(depth);
    at
}

fn skip_space(code: &str, at: usize) -> usize {
    code.len() - code[at..].trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::{Source, check, module, used};

    fn paths(code: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<_> = module.iter().map(|part| (*part).to_owned()).collect();
        used(code, &module).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn every_way_to_name_a_path_is_read() {
        assert_eq!(
            paths("use crate::{outcome::Outcome, stun::{self, Policy as P}, frame::*};", &["answer"]),
            ["outcome::Outcome", "stun", "stun::Policy", "frame"]
        );
        assert_eq!(paths("use super::super::stats::Counter;", &["datapath", "socket"]), ["stats::Counter"]);
        assert_eq!(
            paths("super::batch::new()", &["datapath", "socket", "worker"]),
            ["datapath::socket::batch::new"]
        );
        assert_eq!(paths("let x = crate::stun::respond(a);", &["answer"]), ["stun::respond"]);
        assert_eq!(paths("use xstun_ebpf::classify; $crate::x; my_crate::y", &["answer"]), ["x"]);
    }

    #[test]
    fn only_library_modules_have_arrows() {
        assert_eq!(
            module("userspace/src/datapath/socket.rs").map(|m| m.join("::")).as_deref(),
            Some("datapath::socket")
        );
        assert_eq!(module("userspace/src/main.rs"), None);
        assert_eq!(module("xtask/src/run.rs"), None);
    }

    fn lines(name: &str, text: &str) -> Vec<usize> {
        check(&Source::new(name, text)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn an_arrow_that_goes_up_is_found() {
        let text = "use crate::outcome::Outcome;\nuse crate::frame::Frame;\n";
        assert_eq!(lines("userspace/src/stun/message.rs", text), [2]);
        assert_eq!(lines("userspace/src/answer.rs", text), [0usize; 0]);
        let text = "use crate::stun::Policy;\n#[cfg(test)]\nmod tests {\n    use crate::frame::Frame;\n}\n";
        assert_eq!(lines("userspace/src/stun.rs", text), [0usize; 0]);
    }

    #[test]
    fn the_longest_rule_holds() {
        let text = "use crate::datapath::socket::batch::Batch;\n";
        assert_eq!(lines("userspace/src/client/load.rs", text), [0usize; 0]);
        assert_eq!(lines("userspace/src/client/probe.rs", text), [1]);
        assert_eq!(lines("userspace/src/datapath/af_xdp/worker.rs", text), [1]);
        assert_eq!(lines("userspace/src/datapath.rs", text), [0usize; 0]);
    }

    #[test]
    fn a_module_without_arrows_is_found() {
        assert_eq!(lines("userspace/src/gadget.rs", ""), [1]);
    }

    #[test]
    fn the_core_knows_no_clock() {
        let text = "fn now() -> std::time::Instant {}\n// std::time in words\n";
        assert_eq!(lines("userspace/src/stun/clock.rs", text), [1]);
        assert_eq!(lines("userspace/src/control/clock.rs", text), [0usize; 0]);
    }
}
