//! From facts to steps: a pure function, so that it can be tested for machines that are not here.

use super::facts::Facts;
use super::pieces::{Needs, only_tests_want, pieces};
use crate::bpf::{Compiler, DEBIAN_COMPILER, LINKER_LLVM, LINKER_VERSION, Lacks, choose};

/// Fetches over HTTPS, where apt must learn of a further repository.
pub(crate) const CURL: [&str; 2] = ["curl", "ca-certificates"];

/// One change to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Fetch the package lists. What can be installed is only known after it.
    AptUpdate,
    /// Add the repository of the LLVM project for one major. What can be installed is only known
    /// after it.
    LlvmRepository { codename: String, llvm: u32 },
    /// Install packages, each with its reason.
    AptInstall(Vec<Wanted>),
    /// Add a component to a rustup toolchain.
    RustupComponent { toolchain: Option<String>, component: &'static str, why: &'static str },
    /// Compile bpf-linker into the target directory.
    BpfLinker { llvm: u32 },
    /// Make the virtual environment with the clients of PyPI.
    PythonClients,
    /// Fetch the clients of npm.
    NodeClients,
}

/// A package and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) package: String,
    pub(crate) why: &'static str,
}

/// A piece that this program cannot install here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: String,
    pub(crate) why: &'static str,
    pub(crate) get: Get,
}

/// How a person gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Get {
    Apt(String),
    Dnf(&'static str),
    /// A command, or a sentence where no command would be sure.
    By(String),
}

/// What to do, and what a person has to do first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    pub(crate) missing: Vec<Missing>,
    /// The compiler of the eBPF object, where one is needed.
    pub(crate) compiler: Option<Compiler>,
}

impl Plan {
    /// Whether anything is not as it should be.
    pub(crate) fn wants_something(&self) -> bool {
        !(self.steps.is_empty() && self.missing.is_empty())
    }
}

/// Decides what a machine with these facts lacks for `needs`. Carrying out the steps and planning
/// again comes to a plan without steps.
pub(crate) fn plan(facts: &Facts, needs: Needs) -> Plan {
    let mut draft = Draft { facts, wanted: Vec::new(), later: Vec::new(), plan: Plan::default() };
    draft.pieces(needs);
    if needs.bpf {
        draft.bpf();
    }
    if needs.lint {
        draft.lint();
    }
    if needs.test && !facts.python_clients {
        draft.later.push(Step::PythonClients);
    }
    if needs.test && !facts.node_clients {
        draft.later.push(Step::NodeClients);
    }
    draft.finish(needs)
}

struct Draft<'a> {
    facts: &'a Facts,
    wanted: Vec<Wanted>,
    /// Steps that follow the installation of packages.
    later: Vec<Step>,
    plan: Plan,
}

impl Draft<'_> {
    fn pieces(&mut self, needs: Needs) {
        for piece in pieces(needs) {
            let inside = piece.apt == "python3-venv" && self.facts.python_clients;
            if inside || self.facts.seen.contains(piece.apt) || self.facts.installed.contains(piece.apt) {
                continue;
            }
            if self.facts.apt {
                self.wanted.push(Wanted { package: piece.apt.to_owned(), why: piece.why });
            } else if !piece.signs.is_empty() {
                let get = if is_fedora(self.facts) && !piece.dnf.is_empty() {
                    Get::Dnf(piece.dnf)
                } else {
                    Get::By(format!("find the package that Debian calls {}", piece.apt))
                };
                self.miss(piece.apt, piece.why, get);
            }
        }
    }

    fn bpf(&mut self) {
        const WHY: &str = "compiles the XDP program; needs the sources of Rust's core";
        let Some((compiler, lacks)) = choose(self.facts) else {
            let get = "rustup toolchain install nightly --profile minimal --component rust-src".to_owned();
            self.miss("a Rust compiler with rust-src", WHY, Get::By(get));
            return;
        };
        match lacks {
            Lacks::Nothing => {}
            Lacks::Packages => self.want(DEBIAN_COMPILER.map(str::to_owned), WHY),
            Lacks::RustSource => {
                let toolchain = match &compiler.source {
                    crate::bpf::Source::Rustup { toolchain } => Some(toolchain.clone()),
                    _ => None,
                };
                self.later.push(Step::RustupComponent { toolchain, component: "rust-src", why: WHY });
            }
        }
        self.linker(compiler.llvm);
        self.plan.compiler = Some(compiler);
    }

    fn linker(&mut self, llvm: u32) {
        const WHY: &str = "bpf-linker, which makes the eBPF object, links to it";
        if self.facts.linker == Some(llvm) {
            return;
        }
        if !LINKER_LLVM.contains(&llvm) {
            let (least, most) = (LINKER_LLVM.start(), LINKER_LLVM.end());
            let get = format!("name a compiler with LLVM {least} to {most} in XSTUN_BPF_RUSTC");
            self.miss(&format!("bpf-linker {LINKER_VERSION} for LLVM {llvm}"), WHY, Get::By(get));
            return;
        }
        if self.facts.apt {
            self.want(llvm_packages(llvm), WHY);
        } else if !self.facts.llvm.contains_key(&llvm) {
            let get = if is_fedora(self.facts) {
                Get::Dnf("llvm-devel")
            } else {
                Get::By(format!("install LLVM {llvm} with its headers and static libraries"))
            };
            self.miss(&format!("LLVM {llvm} development files"), WHY, get);
        }
        self.later.push(Step::BpfLinker { llvm });
    }

    fn lint(&mut self) {
        let components = [
            ("rustfmt", self.facts.rustfmt, "checks the format of the sources"),
            ("clippy", self.facts.clippy, "checks the sources for mistakes"),
        ];
        for (component, there, why) in components {
            if there {
                continue;
            }
            if self.facts.toolchains.is_empty() {
                let get = format!("install the package of {component} that goes with your Rust compiler");
                self.miss(component, why, Get::By(get));
            } else {
                self.later.push(Step::RustupComponent { toolchain: None, component, why });
            }
        }
    }

    fn want(&mut self, packages: impl IntoIterator<Item = String>, why: &'static str) {
        let absent = packages.into_iter().filter(|package| !self.facts.installed.contains(package));
        self.wanted.extend(absent.map(|package| Wanted { package, why }));
    }

    fn miss(&mut self, what: &str, why: &'static str, get: Get) {
        self.plan.missing.push(Missing { what: what.to_owned(), why, get });
    }

    fn finish(mut self, needs: Needs) -> Plan {
        if !self.facts.root {
            for Wanted { package, why } in std::mem::take(&mut self.wanted) {
                self.miss(&package, why, Get::Apt(package.clone()));
            }
        }
        let unknown: Vec<_> = self
            .wanted
            .iter()
            .filter(|wanted| !self.facts.candidates.contains(&wanted.package))
            .cloned()
            .collect();
        if self.facts.apt
            && self.facts.root
            && !self.facts.updated
            && (!unknown.is_empty() || self.blind(needs))
        {
            self.plan.steps = vec![Step::AptUpdate];
            return self.plan;
        }
        let llvm = self.plan.compiler.as_ref().map(|compiler| compiler.llvm);
        for Wanted { package, why } in unknown {
            match llvm {
                Some(llvm) if llvm_packages(llvm).contains(&package) && !self.facts.codename.is_empty() => {
                    let codename = self.facts.codename.clone();
                    let fetch = CURL.iter().filter(|name| !self.facts.installed.contains(**name));
                    let fetch = fetch.map(|name| Wanted {
                        package: (*name).to_owned(),
                        why: "fetches the key of the LLVM project's repository",
                    });
                    let fetch: Vec<_> = fetch.collect();
                    self.plan.steps =
                        if fetch.is_empty() { Vec::new() } else { vec![Step::AptInstall(fetch)] };
                    self.plan.steps.push(Step::LlvmRepository { codename, llvm });
                    return self.plan;
                }
                // Ubuntu, for one, has Chromium as a snap alone.
                _ if self.facts.skips_missing && only_tests_want(&package) => {
                    self.wanted.retain(|wanted| wanted.package != package);
                }
                _ => {
                    let get = Get::By(format!("find a repository with {package} for {}", self.facts.system));
                    self.miss(&package, why, get);
                }
            }
        }
        if !self.wanted.is_empty() {
            self.plan.steps.push(Step::AptInstall(self.wanted));
        }
        self.plan.steps.append(&mut self.later);
        self.plan
    }

    /// Whether Debian may have the compiler, but its lists, which would tell, were never fetched.
    fn blind(&self, needs: Needs) -> bool {
        needs.bpf
            && self.facts.distribution == "debian"
            && self.facts.distribution_compiler.is_none()
            && matches!(choose(self.facts), None | Some((_, Lacks::RustSource)))
    }
}

/// Packages that bpf-linker needs to link to this LLVM.
pub(crate) fn llvm_packages(major: u32) -> [String; 2] {
    [format!("llvm-{major}-dev"), format!("libpolly-{major}-dev")]
}

fn is_fedora(facts: &Facts) -> bool {
    ["fedora", "rhel", "centos", "rocky", "almalinux"].contains(&facts.distribution.as_str())
}

#[cfg(test)]
mod tests;
