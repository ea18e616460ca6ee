//! One check, and the report of all checks.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

/// How bad the result of a check is, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Information only.
    Info,
    /// As it should be.
    Ok,
    /// `xstun serve` works, but not as well as it could.
    Warning,
    /// Prevents `xstun serve` from serving, or from serving over AF_XDP.
    Problem,
}

impl Severity {
    /// Returns the name in the report.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Ok => "ok",
            Severity::Warning => "warning",
            Severity::Problem => "problem",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was checked.
    pub check: &'static str,
    /// How bad it is.
    #[serde(rename = "verdict")]
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// How to fix it, as a command if there is one.
    pub fix: Option<String>,
}

impl Check {
    pub(super) fn new(check: &'static str, severity: Severity, found: impl Into<String>) -> Self {
        Check { check, severity, found: found.into(), fix: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Severity::Ok, found)
    }

    pub(super) fn info(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Severity::Info, found)
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Severity::Warning, found)
    }

    pub(super) fn problem(check: &'static str, found: impl Into<String>) -> Self {
        Check::new(check, Severity::Problem, found)
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Name of the check that predicts how `xstun serve` would serve the interface.
pub(super) const PREDICTION: &str = "serve";

/// The results of all checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorReport {
    /// The host and this process.
    pub host: Vec<Check>,
    /// Each interface with its name. Its last check, `serve`, predicts how it would be served.
    pub interfaces: Vec<(String, Vec<Check>)>,
}

impl DoctorReport {
    /// Returns the worst severity; `Ok` if none is worse.
    pub(super) fn worst(&self) -> Severity {
        self.checks().map(|check| check.severity).fold(Severity::Ok, Ord::max)
    }

    /// Returns how many checks have this severity.
    pub(super) fn count(&self, severity: Severity) -> usize {
        self.checks().filter(|check| check.severity == severity).count()
    }

    fn checks(&self) -> impl Iterator<Item = &Check> {
        self.host.iter().chain(self.interfaces.iter().flat_map(|(_, checks)| checks))
    }
}

impl Serialize for DoctorReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut report = serializer.serialize_struct("DoctorReport", 3)?;
        report.serialize_field("host", &self.host)?;
        report.serialize_field("interfaces", &Interfaces(&self.interfaces))?;
        report.serialize_field("worst", &self.worst())?;
        report.end()
    }
}

/// Serializes as a map in the order of its entries.
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
