//! Failures as an operator reads them: what was tried, on what, what went wrong, and what to do.

use std::fmt;
use std::process::ExitCode;

/// Result of everything that can fail outside the datapath.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Who has to act, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The command line or the configuration is wrong: exit code 2.
    Usage,
    /// The system refused: exit code 1.
    System,
}

/// One failure: a sentence, the cause as the kernel or a library words it, and a remedy.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    what: String,
    options: Vec<FailedOption>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    remedy: Option<String>,
}

/// An option that a failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedOption {
    /// With its dashes, like `--listen`.
    pub(crate) flag: &'static str,
    /// The value that is wrong, as the operator wrote it; absent if the failure is about no single value.
    pub(crate) value: Option<String>,
}

impl Failure {
    /// A wrong command line or configuration; `what` is the sentence.
    pub fn usage(what: impl Into<String>) -> Self {
        Failure::new(FailureKind::Usage, what.into())
    }

    /// A wrong value of an option. The sentence is "`flag` `value` `why`".
    pub(crate) fn invalid(flag: &'static str, value: impl fmt::Display, why: impl fmt::Display) -> Self {
        Failure::usage(format!("{flag} {value} {why}")).of_value(flag, value)
    }

    /// A refusal of the system; `what` says what was tried, and on what.
    pub fn system(what: impl Into<String>) -> Self {
        Failure::new(FailureKind::System, what.into())
    }

    fn new(kind: FailureKind, what: String) -> Self {
        Failure { kind, what, options: Vec::new(), cause: None, remedy: None }
    }

    /// Records that the failure is about the option `flag`. The one named first counts most.
    pub(crate) fn of(mut self, flag: &'static str) -> Self {
        self.options.push(FailedOption { flag, value: None });
        self
    }

    /// Like [`Failure::of`], for one value of the option.
    pub(crate) fn of_value(mut self, flag: &'static str, value: impl fmt::Display) -> Self {
        self.options.push(FailedOption { flag, value: Some(value.to_string()) });
        self
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to do about it.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds what to do about it, unless the failure says so already.
    #[cfg_attr(not(feature = "af-xdp"), allow(dead_code, reason = "only AF_XDP adds to another's failure"))]
    pub(crate) fn or_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// Prefixes the sentence with the position of the mistake, such as a line of a file.
    pub(crate) fn at(mut self, position: impl fmt::Display) -> Self {
        self.what = format!("{position}: {}", self.what);
        self
    }

    /// Returns who has to act.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns the options that it is about, the most important first.
    pub(crate) fn options(&self) -> &[FailedOption] {
        &self.options
    }

    /// Returns 2 for usage, 1 for the system.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            FailureKind::Usage => 2,
            FailureKind::System => 1,
        })
    }

    /// Returns the first errno in the chain of causes, if there is one.
    pub(crate) fn errno(&self) -> Option<i32> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self.cause.as_deref()?);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && let Some(errno) = io.raw_os_error()
            {
                return Some(errno);
            }
            cause = error.source();
        }
        None
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut cause = self.cause.as_deref().map(|c| c as &(dyn std::error::Error + 'static));
        let mut written = String::new();
        while let Some(error) = cause {
            // Libraries often repeat the text of their source in their own; write it once.
            let text = error.to_string();
            if !written.contains(&text) {
                write!(f, ": {text}")?;
                written = text;
            }
            cause = error.source();
        }
        match &self.remedy {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::{FailedOption, Failure};

    #[test]
    fn a_failure_reads_as_one_sentence_with_cause_and_remedy() {
        let failure = Failure::system("cannot bind UDP 192.0.2.1:3478 (--listen)")
            .because(std::io::Error::from_raw_os_error(98))
            .remedy("stop the other server, or choose another port");
        assert_eq!(
            failure.to_string(),
            "cannot bind UDP 192.0.2.1:3478 (--listen): Address already in use (os error 98); \
             stop the other server, or choose another port"
        );
        assert_eq!(failure.errno(), Some(98));
    }

    #[test]
    fn an_invalid_value_is_in_the_sentence_and_in_the_fields() {
        let failure = Failure::invalid("--listen", "192.0.2.1:0", "has port 0").of("--no-tcp");
        assert_eq!(failure.to_string(), "--listen 192.0.2.1:0 has port 0");
        let option = |flag, value: Option<&str>| FailedOption { flag, value: value.map(str::to_owned) };
        assert_eq!(failure.options(), [option("--listen", Some("192.0.2.1:0")), option("--no-tcp", None)]);
    }
}
