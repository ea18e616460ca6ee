//! A guest's initial RAM file system: the release binary, the test programs, and the programs that they
//! call, each with its libraries.

use super::cases::{Depth, VmCase};
use super::kernels::Kernel;
use crate::run::{ask, exec, output};
use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs of the distribution that the tests call.
const PROGRAMS: [&str; 10] =
    ["ip", "ss", "ethtool", "ping", "setpriv", "timeout", "env", "busybox", "unshare", "mount"];
/// Tests of `userspace/tests` that a guest runs in addition to its own.
const TESTS: [&str; 3] = ["verdicts", "interface", END_TO_END];
/// The one of them that takes minutes; only guests of [`Depth::Whole`] run it.
const END_TO_END: &str = "end_to_end";
/// The guest's own test program.
const GUEST: &str = "vm";

/// Name and path of each test program.
pub(super) type TestPrograms = Vec<(String, PathBuf)>;

/// The directory that becomes the file system.
pub(super) struct Image {
    root: PathBuf,
}

impl Image {
    /// Makes what all guests have: the programs, and `tests` as [`build_tests`] returned them.
    ///
    /// # Errors
    /// A program is missing, or a file cannot be written.
    pub(super) fn lay_out(workspace: &Workspace, tests: &TestPrograms) -> Result<Self> {
        let root = workspace.target.join("vm/image");
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        let image = Image { root };
        for directory in ["bin", "dev", "etc", "proc", "run", "sys", "tmp", "var"] {
            fs::create_dir_all(image.root.join(directory))?;
        }
        for program in PROGRAMS {
            let path = ask(Command::new("sh").args(["-c", &format!("command -v {program}")]));
            let path = path.with_context(|| {
                format!("there is no {program}, which the guest's tests call: install it")
            })?;
            image.program(Path::new(path.trim()), program)?;
        }
        symlink("busybox", image.root.join("bin/sh"))?;
        image.program(&workspace.xstun("release"), "xstun")?;
        image.program(&workspace.xstun("debug"), "xstun-asserting")?;
        for (name, path) in tests {
            image.program(path, name)?;
        }
        fs::copy(workspace.ebpf_object(), image.root.join("xstun-ebpf.o"))
            .context("there is no eBPF object")?;
        image.copy_corpora(workspace)?;
        let init = image.root.join("init");
        fs::write(&init, include_str!("init.sh"))?;
        fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        Ok(image)
    }

    /// Copies a program, without debug information, and the libraries that it is linked to.
    fn program(&self, path: &Path, name: &str) -> Result<()> {
        let to = self.root.join("bin").join(name);
        fs::copy(path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        exec(Command::new("strip").arg("--strip-debug").arg(&to))?;
        // Fails for a static program.
        let linked = ask(Command::new("ldd").arg(path)).unwrap_or_default();
        for library in libraries(&linked) {
            let to = self.root.join(library.strip_prefix("/")?);
            if !to.exists() {
                fs::create_dir_all(to.parent().context("a library's path has no directory")?)?;
                fs::copy(library, &to).with_context(|| format!("cannot copy {}", library.display()))?;
            }
        }
        Ok(())
    }

    /// Copies the inputs that are kept for fuzzing, which the tests of verdicts read too.
    fn copy_corpora(&self, workspace: &Workspace) -> Result<()> {
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(workspace.root.join("fuzz/corpus")).arg(self.root.join("corpora"));
        exec(&mut copy)
    }

    /// Adds a kernel's modules and the list of cases, and packs everything into the file `into`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub(super) fn pack(
        &self,
        kernel: &Kernel,
        cases: &[(usize, VmCase)],
        depth: Depth,
        into: &Path,
    ) -> Result<()> {
        let modules = self.root.join("modules");
        if modules.exists() {
            fs::remove_dir_all(&modules)?;
        }
        fs::create_dir(&modules)?;
        for module in &kernel.modules {
            fs::copy(module, modules.join(module.file_name().context("a module's path has no name")?))?;
        }
        let records: Vec<Value> = cases.iter().map(|(number, case)| case.record(*number, depth)).collect();
        fs::write(self.root.join("cases.json"), serde_json::to_string(&records)?)?;
        let all =
            if depth >= Depth::Whole { String::new() } else { format!("-not -path ./bin/{END_TO_END}") };
        let packed = format!("find . {all} -print0 | cpio --null --create --format=newc --quiet");
        let archive = fs::File::create(into).with_context(|| format!("cannot make {}", into.display()))?;
        exec(Command::new("sh").args(["-c", &packed]).current_dir(&self.root).stdout(archive))
            .context("cannot pack the guest's file system: check that the disk has space")
    }
}

/// The tests of `userspace/tests` whose name contains `only`.
pub(super) fn suites(only: Option<&str>) -> impl Iterator<Item = &'static str> {
    TESTS.into_iter().filter(move |test| only.is_none_or(|only| test.contains(only)))
}

/// Builds `xstun` with assertions, the guest's test program, and those of [`suites`]. Returns the test programs.
///
/// # Errors
/// One cannot be built.
pub(super) fn build_tests(workspace: &Workspace, only: Option<&str>) -> Result<TestPrograms> {
    let tests: Vec<_> = suites(only).chain([GUEST]).collect();
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--package", "xstun", "--bin", "xstun", "--message-format=json"]);
    for test in &tests {
        cargo.args(["--test", test]);
    }
    if workspace.target != workspace.root.join("target") {
        cargo.env("XSTUN_EBPF_OBJECT", workspace.ebpf_object());
    }
    let printed = output(&mut cargo)?;
    let messages = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let programs: Vec<_> = messages
        .filter(|message| message["target"]["kind"][0] == "test")
        .filter_map(|message| {
            Some((message["target"]["name"].as_str()?.to_owned(), message["executable"].as_str()?.into()))
        })
        .collect();
    for test in tests {
        if !programs.iter().any(|(name, _)| name == test) {
            bail!("cargo built no test program `{test}`");
        }
    }
    Ok(programs)
}

/// The libraries' paths in what ldd(1) printed.
fn libraries(linked: &str) -> impl Iterator<Item = &Path> {
    linked.lines().filter_map(|line| {
        let path = line.split_once(" => ").map_or(line, |(_, path)| path).trim();
        let path = path.split(" (").next()?;
        path.starts_with('/').then(|| Path::new(path))
    })
}

#[cfg(test)]
mod tests {
    use super::libraries;
    use std::path::Path;

    #[test]
    fn only_libraries_with_a_file_are_found() {
        let linked = "\tlinux-vdso.so.1 (0x00007f10ab661000)\n\
                      \tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x00007f10ab1d9000)\n\
                      \tlibgone.so.1 => not found\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f10ab663000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libelf.so.1", "/lib64/ld-linux-x86-64.so.2"].map(Path::new);
        assert!(libraries(linked).eq(expected));
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }
}
