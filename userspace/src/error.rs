//! Failures as a person reads them: what was tried, on what, what was found, what to do.

use std::fmt;
use std::process::ExitCode;

/// Result of everything that can fail outside the data path.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Whose fault it is, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the configuration asks for something that cannot be: exit code 2.
    Usage,
    /// The machine refused: exit code 1.
    System,
}

/// One failure: a clear sentence, the kernel's own word where there is one, and a remedy.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    what: String,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    remedy: Option<String>,
}

impl Failure {
    /// A wrong command line or configuration. `what` names the flag or key and the value found.
    pub fn usage(what: impl Into<String>) -> Self {
        Failure { kind: Kind::Usage, what: what.into(), cause: None, remedy: None }
    }

    /// A refusal of the system. `what` says what was tried, and on what.
    pub fn system(what: impl Into<String>) -> Self {
        Failure { kind: Kind::System, what: what.into(), cause: None, remedy: None }
    }

    /// Adds what the kernel or a library said.
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds before all else where what is wrong stands.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// 2 for usage, 1 for the system.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Usage => 2,
            Kind::System => 1,
        })
    }

    /// The errno at the end of the chain of causes, if there is one.
    pub fn errno(&self) -> Option<i32> {
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
        let mut said = String::new();
        while let Some(error) = cause {
            // Libraries often repeat their source in their own text; one telling is enough.
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
                said = text;
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
    use super::Failure;

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
}
