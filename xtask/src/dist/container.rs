//! Builds the file system of the container image from `deploy/Containerfile` without a container engine.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;

/// The instructions of a container file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Recipe {
    /// Files of the context, each with its path in the image.
    copies: Vec<(String, String)>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
}

impl Recipe {
    /// Parses the instructions that the project's file uses.
    ///
    /// # Errors
    /// A line has any other instruction or form; the error names it.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut recipe = Recipe::default();
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in lines.enumerate() {
            let (instruction, rest) = line.split_once(' ').unwrap_or((line, ""));
            match (number, instruction) {
                (0, "FROM") if rest == "scratch" => {}
                (1.., "COPY") => recipe.copies.extend(copies(rest).with_context(|| line.to_owned())?),
                (1.., "ENTRYPOINT") => recipe.entrypoint = words(rest).with_context(|| line.to_owned())?,
                (1.., "CMD") => recipe.cmd = words(rest).with_context(|| line.to_owned())?,
                (1.., "STOPSIGNAL") if rest == "SIGTERM" => {}
                _ => bail!("unknown instruction: `{line}`; teach it to xtask/src/dist/container.rs"),
            }
        }
        if recipe.entrypoint.is_empty() {
            bail!("no ENTRYPOINT");
        }
        Ok(recipe)
    }

    /// Creates the image's file system below `root`.
    ///
    /// # Errors
    /// A file of the context is missing, or cannot be copied.
    pub(super) fn assemble(&self, context: &Path, root: &Path) -> Result<()> {
        for (from, to) in &self.copies {
            let (from, to) = (context.join(from), root.join(to.trim_start_matches('/')));
            let failed = || format!("cannot copy {} to {}", from.display(), to.display());
            fs::create_dir_all(to.parent().unwrap_or(root)).with_context(failed)?;
            fs::copy(&from, &to).with_context(failed)?;
        }
        Ok(())
    }

    /// Returns the command line: the entry point with `arguments`, or with CMD if there are none.
    pub(super) fn command<'a>(&'a self, arguments: &'a [&'a str]) -> Vec<&'a str> {
        let own = || self.cmd.iter().map(String::as_str).collect();
        let arguments: Vec<&str> = if arguments.is_empty() { own() } else { arguments.to_vec() };
        self.entrypoint.iter().map(String::as_str).chain(arguments).collect()
    }
}

/// Parses `COPY a b to/` and `COPY a to`. Returns each source with its destination.
fn copies(rest: &str) -> Result<Vec<(String, String)>> {
    let mut names: Vec<_> = rest.split_whitespace().collect();
    let to = names.pop().context("COPY needs a source")?;
    if names.is_empty() || (names.len() > 1 && !to.ends_with('/')) {
        bail!("COPY of several files needs a destination that ends with a slash");
    }
    let destination = |from: &str| {
        let name = Path::new(from).file_name().unwrap_or_default().to_string_lossy();
        if to.ends_with('/') { format!("{to}{name}") } else { to.to_owned() }
    };
    Ok(names.iter().map(|from| ((*from).to_owned(), destination(from))).collect())
}

/// Parses the exec form, a JSON array.
fn words(rest: &str) -> Result<Vec<String>> {
    serde_json::from_str(rest).context("not an exec form, which is a JSON array")
}

#[cfg(test)]
mod tests {
    use super::Recipe;

    #[test]
    fn the_projects_file_is_parsed() {
        let recipe = Recipe::parse(include_str!("../../../deploy/Containerfile")).unwrap();
        assert!(recipe.copies.contains(&("bin/xstun".into(), "/bin/xstun".into())));
        assert!(recipe.copies.contains(&("LICENSE-MIT".into(), "/licences/LICENSE-MIT".into())));
        assert_eq!(recipe.command(&[]), ["/bin/xstun", "serve", "--config", "/etc/xstun/xstun.toml"]);
        assert_eq!(recipe.command(&["doctor"]), ["/bin/xstun", "doctor"]);
    }

    #[test]
    fn an_error_names_what_is_not_understood() {
        for (text, named) in [
            ("FROM debian", "FROM debian"),
            ("FROM scratch\nRUN true", "RUN true"),
            ("FROM scratch\nCOPY a b c", "COPY a b c"),
            ("FROM scratch\nENTRYPOINT /bin/xstun", "ENTRYPOINT"),
            ("FROM scratch\nCOPY a b", "no ENTRYPOINT"),
        ] {
            let error = format!("{:#}", Recipe::parse(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
