//! Checks which module uses which. `docs/architecture.md` prints these rules.

use super::Finding;
use super::paths::{Module, named};
use super::source::SourceFile;

/// What a module and the modules below it may use of their crate, beside each other. Of several rules,
/// that with the longest name applies.
pub(super) struct Rule {
    pub(super) module: &'static str,
    pub(super) may: &'static [&'static str],
    /// Exceptions from `may`.
    pub(super) never: &'static [&'static str],
}

const fn rule(module: &'static str, may: &'static [&'static str]) -> Rule {
    Rule { module, may, never: &[] }
}

/// Crates whose modules have arrows, by the directory of their sources.
pub(super) const CRATES: [(&str, &[Rule]); 2] = [("core/src", CORE), ("userspace/src", USERSPACE)];

const CORE: &[Rule] = &[
    rule("enumeration", &[]),
    rule("rings", &[]),
    rule("outcome", &["enumeration"]),
    rule("classify", &["enumeration"]),
    rule("source", &["outcome"]),
    rule("served", &["classify", "source"]),
    rule("stun", &["outcome"]),
    rule("frame", &["classify", "outcome", "source"]),
    rule("answer", &["classify", "frame", "outcome", "served", "stun"]),
    rule("plain_frame", &["classify", "frame", "outcome", "source", "stun"]),
];

const USERSPACE: &[Rule] = &[
    rule("error", &[]),
    rule("kernel", &[]),
    rule("memory", &[]),
    rule("output", &["error"]),
    rule("stop", &[]),
    rule("privileges", &["error", "kernel"]),
    rule("insecure", &[]),
    rule("status", &[]),
    rule("cli", &[]),
    rule("stats", &[]),
    rule("credentials_file", &["error"]),
    rule("interface", &["error"]),
    rule("config", &["cli", "error", "status"]),
    rule("settings", &["cli", "config", "error"]),
    rule("datapath", &["config", "error", "interface"]),
    Rule {
        module: "datapath::af_xdp",
        may: &["config", "datapath", "error", "interface", "kernel", "privileges", "stats", "stop"],
        never: &["datapath::socket"],
    },
    Rule {
        module: "datapath::socket",
        may: &["config", "datapath", "error", "interface", "privileges", "stats", "stop"],
        never: &["datapath::af_xdp"],
    },
    rule("control::log", &["cli", "error"]),
    rule(
        "control",
        &[
            "config",
            "datapath",
            "error",
            "insecure",
            "interface",
            "privileges",
            "settings",
            "stats",
            "status",
            "credentials_file",
        ],
    ),
    rule("client", &["cli", "error", "insecure", "output", "status", "credentials_file"]),
    rule("client::load", &["cli", "client", "datapath::socket", "error", "output", "stats", "stop"]),
    rule("client::load::af_xdp", &["cli", "client", "config", "datapath", "error", "interface"]),
    rule("doctor", &["cli", "datapath", "error", "interface", "kernel", "output"]),
];

/// This file, in which the rules stand.
const HERE: &str = "xtask/src/tidy/arrows.rs";

/// Checks every source against the rules, and that every permission is used.
pub(super) fn check(sources: &[SourceFile]) -> Vec<Finding> {
    CRATES.iter().flat_map(|(directory, rules)| check_crate(sources, directory, rules)).collect()
}

fn check_crate(sources: &[SourceFile], directory: &str, rules: &[Rule]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut used = vec![Vec::new(); rules.len()];
    for source in sources {
        let module = Module::of(&source.name).filter(|module| module.sources == directory);
        let Some(module) = module.filter(|module| !module.path.is_empty()) else { continue };
        let name = module.name();
        let matching = rules.iter().enumerate().filter(|(_, rule)| is_below(&name, rule.module));
        let Some((index, rule)) = matching.max_by_key(|(_, rule)| rule.module.len()) else {
            let text = format!("module `{name}` has no rule; add one to {HERE}");
            findings.push(source.finding(1, text));
            continue;
        };
        for (line, path) in production_paths(source, &module) {
            if !rule.allows(&path) {
                findings.push(source.finding(
                    line,
                    format!(
                        "`{name}` uses `crate::{path}`, which no rule allows; move the shared code to a module that \
                         both may use, or change the rules in {HERE}"
                    ),
                ));
            }
            used[index].push(path);
        }
    }
    findings.extend(rules.iter().zip(&used).flat_map(|(rule, used)| unused(rule, used)));
    findings
}

/// The paths below the crate's root that are named outside of tests, each with its line.
fn production_paths(source: &SourceFile, module: &Module<'_>) -> Vec<(usize, String)> {
    named(&source.code, &module.path)
        .into_iter()
        .map(|named| (source.line_of(named.offset), named.path.join("::")))
        .filter(|(line, path)| !source.is_test(*line) && !path.is_empty())
        .collect()
}

/// Permissions of a rule that none of its modules needs.
fn unused(rule: &Rule, used: &[String]) -> Vec<Finding> {
    let is_used = |may: &str| used.iter().any(|path| is_below(path, may) && !is_below(path, rule.module));
    let text = |may| format!("`{}` may use `{may}` and does not; remove that from its rule", rule.module);
    let finding = |text| Finding { file: HERE.to_owned(), line: 1, text };
    rule.may.iter().filter(|may| !is_used(may)).map(|may| finding(text(may))).collect()
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

#[cfg(test)]
mod tests {
    use super::{Finding, HERE, Rule, SourceFile, check_crate, rule};

    const RULES: &[Rule] = &[
        rule("outcome", &[]),
        rule("stun", &["outcome"]),
        rule("frame", &[]),
        rule("answer", &["frame", "stun"]),
        rule("datapath", &["answer"]),
        Rule { module: "datapath::af_xdp", may: &["datapath"], never: &["datapath::socket"] },
        rule("client", &[]),
        rule("client::load", &["datapath::socket"]),
    ];

    /// Findings but for unused permissions, which one file alone has many of.
    fn lines(name: &str, text: &str) -> Vec<usize> {
        let found = check_crate(&[SourceFile::new(name, text)], "userspace/src", RULES);
        found.into_iter().filter(|finding| finding.file != HERE).map(|finding| finding.line).collect()
    }

    #[test]
    fn a_use_that_no_rule_allows_is_found() {
        let text = "use crate::stun::Policy;\nuse crate::frame::Frame;\n";
        assert_eq!(lines("userspace/src/stun/message.rs", text), [2]);
        assert_eq!(lines("userspace/src/answer.rs", text), [0usize; 0]);
        let text = "use crate::stun::Policy;\n#[cfg(test)]\nmod tests {\n    use crate::frame::Frame;\n}\n";
        assert_eq!(lines("userspace/src/stun.rs", text), [0usize; 0]);
    }

    #[test]
    fn the_longest_rule_applies() {
        let text = "use crate::datapath::socket::batch::Batch;\n";
        assert_eq!(lines("userspace/src/client/load.rs", text), [0usize; 0]);
        assert_eq!(lines("userspace/src/client/probe.rs", text), [1]);
        assert_eq!(lines("userspace/src/datapath/af_xdp/worker.rs", text), [1]);
        assert_eq!(lines("userspace/src/datapath.rs", text), [0usize; 0]);
    }

    #[test]
    fn only_modules_of_the_crate_need_a_rule() {
        assert_eq!(lines("userspace/src/gadget.rs", ""), [1]);
        for name in ["userspace/src/main.rs", "userspace/src/lib.rs", "xtask/src/run.rs"] {
            assert_eq!(lines(name, "use crate::frame::Frame;\n"), [0usize; 0], "{name}");
        }
    }

    #[test]
    fn a_permission_that_nothing_uses_is_found() {
        let rules = [rule("answer", &["frame", "stun"])];
        let found = |text| -> Vec<Finding> {
            let files = [
                SourceFile::new("userspace/src/answer.rs", text),
                SourceFile::new("userspace/src/answer/a.rs", ""),
            ];
            check_crate(&files, "userspace/src", &rules)
        };
        assert_eq!(found("use crate::{frame::Frame, stun};\n"), []);
        let unused = found("use crate::frame::Frame;\n#[cfg(test)]\nuse crate::stun;\n");
        assert!(unused.len() == 1 && unused[0].text.starts_with("`answer` may use `stun`"), "{unused:?}");
    }
}
