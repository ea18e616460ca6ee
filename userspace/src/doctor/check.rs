//! One thing looked at, and all of them together.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// How one thing stands, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Good to know; neither good nor bad.
    Info,
    /// As it should be.
    Ok,
    /// It serves, but not as well as it could.
    Warning,
    /// It keeps `xstun serve` from serving, or from serving over AF_XDP.
    Problem,
}

impl Verdict {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Info => "info",
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        }
    }
}

/// One thing looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub check: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What mends it: a command, where there is one.
    pub fix: Option<String>,
}

impl Check {
    pub(super) fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Check { check, verdict, found: found.into(), fix: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Verdict::Ok, found)
    }

    pub(super) fn info(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Verdict::Info, found)
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Verdict::Warning, found)
    }

    pub(super) fn problem(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Verdict::Problem, found)
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Name of the check that says what `xstun serve` would get.
pub(super) const OUTLOOK: &str = "serve";

/// Everything looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The machine and this process.
    pub host: Vec<Check>,
    /// Each interface by its name; the last check, `serve`, says what it would be served with.
    pub interfaces: Vec<(String, Vec<Check>)>,
}

impl Report {
    /// The worst verdict in it; `Ok` where none is worse.
    pub fn worst(&self) -> Verdict {
        self.checks().map(|check| check.verdict).fold(Verdict::Ok, Ord::max)
    }

    /// How many checks have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.checks().filter(|check| check.verdict == verdict).count()
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.host.iter().chain(self.interfaces.iter().flat_map(|(_, checks)| checks))
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("Report", 3)?;
        report.serialize_field("host", &self.host)?;
        report.serialize_field("interfaces", &Interfaces(&self.interfaces))?;
        report.serialize_field("worst", &self.worst())?;
        report.end()
    }
}

/// A map in the order of its entries.
struct Interfaces<'a>(&'a [(String, Vec<Check>)]);

impl Serialize for Interfaces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, checks) in self.0 {
            map.serialize_entry(name, checks)?;
        }
        map.end()
    }
}
