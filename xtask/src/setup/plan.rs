//! Decides what to install: a pure function of the facts, so that tests can plan for other machines.

use super::facts::MachineFacts;
use super::packages::{CURL, Needs, llvm_packages, only_tests_need, packages};
use crate::bpf::{
    BpfCompiler, CompilerLacks, CompilerSource, DEBIAN_COMPILER, LINKER_LLVM, LINKER_VERSION, choose,
};

/// One change to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetupStep {
    /// Fetch the package lists. Only a plan made afterwards knows what can be installed.
    AptUpdate,
    /// Add the repository of the LLVM project for one major. Only a plan made afterwards knows what can be
    /// installed.
    LlvmRepository { codename: String, llvm: u32 },
    /// Install packages, each with its reason.
    AptInstall(Vec<WantedPackage>),
    /// Add a component to a rustup toolchain.
    RustupComponent { toolchain: Option<String>, component: &'static str, why: &'static str },
    /// Compile bpf-linker into the target directory.
    BpfLinker { llvm: u32 },
    /// Make the virtual environment with the clients of PyPI.
    PythonClients,
    /// Fetch the clients of npm.
    NodeClients,
}

/// A package to install, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedPackage {
    pub(super) package: String,
    pub(super) why: &'static str,
}

/// Something that this program cannot install here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MissingItem {
    pub(super) what: String,
    pub(super) why: &'static str,
    pub(super) get: HowToGet,
}

/// How the user gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HowToGet {
    Apt(String),
    Dnf(&'static str),
    /// A command, or a sentence if no command is certain to work.
    By(String),
}

/// What to do, and what the user has to do first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetupPlan {
    pub(super) steps: Vec<SetupStep>,
    pub(super) missing: Vec<MissingItem>,
    /// The compiler of the eBPF object, where one is needed.
    pub(super) compiler: Option<BpfCompiler>,
}

impl SetupPlan {
    /// Whether there is nothing to do, for this program or the user.
    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.missing.is_empty()
    }
}

/// Decides what a machine with these facts lacks for `needs`. After the steps are carried out, a new plan
/// has further steps or none.
pub(super) fn plan(facts: &MachineFacts, needs: Needs) -> SetupPlan {
    let mut draft = Draft { facts, wanted: Vec::new(), later: Vec::new(), plan: SetupPlan::default() };
    draft.packages(needs);
    if needs.bpf {
        draft.bpf();
    }
    if needs.lint {
        draft.lint();
    }
    if needs.test && !facts.python_clients {
        draft.later.push(SetupStep::PythonClients);
    }
    if needs.test && !facts.node_clients {
        draft.later.push(SetupStep::NodeClients);
    }
    draft.finish(needs)
}

struct Draft<'a> {
    facts: &'a MachineFacts,
    wanted: Vec<WantedPackage>,
    /// Steps that follow the installation of packages.
    later: Vec<SetupStep>,
    plan: SetupPlan,
}

impl Draft<'_> {
    fn packages(&mut self, needs: Needs) {
        for package in packages(needs) {
            let made = package.apt == "python3-venv" && self.facts.python_clients;
            if made || self.facts.seen.contains(package.apt) || self.facts.installed.contains(package.apt) {
                continue;
            }
            if self.facts.apt {
                self.wanted.push(WantedPackage { package: package.apt.to_owned(), why: package.why });
            } else if !package.signs.is_empty() {
                let get = if self.facts.is_fedora() && !package.dnf.is_empty() {
                    HowToGet::Dnf(package.dnf)
                } else {
                    HowToGet::By(format!("find the package that Debian calls {}", package.apt))
                };
                self.miss(package.apt, package.why, get);
            }
        }
    }

    fn bpf(&mut self) {
        const WHY: &str = "compiles the XDP program; needs the sources of Rust's core";
        let Some((compiler, lacks)) = choose(self.facts.compilers()) else {
            let get = "rustup toolchain install nightly --profile minimal --component rust-src".to_owned();
            self.miss("a Rust compiler with rust-src", WHY, HowToGet::By(get));
            return;
        };
        match lacks {
            CompilerLacks::Nothing => {}
            CompilerLacks::Packages => self.want(DEBIAN_COMPILER.map(str::to_owned), WHY),
            CompilerLacks::RustSource => {
                let toolchain = match &compiler.source {
                    CompilerSource::Rustup { toolchain } => Some(toolchain.clone()),
                    _ => None,
                };
                self.later.push(SetupStep::RustupComponent { toolchain, component: "rust-src", why: WHY });
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
            self.miss(&format!("bpf-linker {LINKER_VERSION} for LLVM {llvm}"), WHY, HowToGet::By(get));
            return;
        }
        if self.facts.apt {
            self.want(llvm_packages(llvm), WHY);
        } else if !self.facts.llvm.contains_key(&llvm) {
            let get = if self.facts.is_fedora() {
                HowToGet::Dnf("llvm-devel")
            } else {
                HowToGet::By(format!("install LLVM {llvm} with its headers and static libraries"))
            };
            self.miss(&format!("LLVM {llvm} development files"), WHY, get);
        }
        self.later.push(SetupStep::BpfLinker { llvm });
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
                self.miss(component, why, HowToGet::By(get));
            } else {
                self.later.push(SetupStep::RustupComponent { toolchain: None, component, why });
            }
        }
    }

    fn want(&mut self, packages: impl IntoIterator<Item = String>, why: &'static str) {
        let absent = packages.into_iter().filter(|package| !self.facts.installed.contains(package));
        self.wanted.extend(absent.map(|package| WantedPackage { package, why }));
    }

    fn miss(&mut self, what: &str, why: &'static str, get: HowToGet) {
        self.plan.missing.push(MissingItem { what: what.to_owned(), why, get });
    }

    fn finish(mut self, needs: Needs) -> SetupPlan {
        if !self.facts.root {
            for WantedPackage { package, why } in std::mem::take(&mut self.wanted) {
                self.miss(&package, why, HowToGet::Apt(package.clone()));
            }
        }
        let is_unknown = |wanted: &&WantedPackage| !self.facts.candidates.contains(&wanted.package);
        let unknown: Vec<_> = self.wanted.iter().filter(is_unknown).cloned().collect();
        let may_update = self.facts.apt && self.facts.root && !self.facts.updated;
        if may_update && (!unknown.is_empty() || self.may_have_unlisted_compiler(needs)) {
            self.plan.steps = vec![SetupStep::AptUpdate];
            return self.plan;
        }
        let llvm = self.llvm_to_add(&unknown);
        for WantedPackage { package, why } in unknown {
            if llvm.is_some_and(|llvm| llvm_packages(llvm).contains(&package)) {
                continue;
            }
            // Ubuntu, for one, has Chromium only as a snap.
            if self.facts.skips_missing && only_tests_need(&package) {
                self.wanted.retain(|wanted| wanted.package != package);
            } else {
                let how = format!("find a repository with {package} for {}", self.facts.system);
                self.miss(&package, why, HowToGet::By(how));
            }
        }
        if let Some(llvm) = llvm {
            self.plan.steps = self.llvm_repository(llvm);
            return self.plan;
        }
        if !self.wanted.is_empty() {
            self.plan.steps.push(SetupStep::AptInstall(self.wanted));
        }
        self.plan.steps.append(&mut self.later);
        self.plan
    }

    /// The major of LLVM whose repository has packages that this distribution does not know.
    fn llvm_to_add(&self, unknown: &[WantedPackage]) -> Option<u32> {
        let llvm = self.plan.compiler.as_ref()?.llvm;
        let lacks = unknown.iter().any(|wanted| llvm_packages(llvm).contains(&wanted.package));
        (lacks && !self.facts.codename.is_empty()).then_some(llvm)
    }

    /// The steps that add the LLVM project's repository.
    fn llvm_repository(&self, llvm: u32) -> Vec<SetupStep> {
        let absent = CURL.iter().filter(|name| !self.facts.installed.contains(**name));
        let fetch = absent.map(|name| WantedPackage {
            package: (*name).to_owned(),
            why: "fetches the key of the LLVM project's repository",
        });
        let fetch: Vec<_> = fetch.collect();
        let mut steps = if fetch.is_empty() { Vec::new() } else { vec![SetupStep::AptInstall(fetch)] };
        steps.push(SetupStep::LlvmRepository { codename: self.facts.codename.clone(), llvm });
        steps
    }

    /// Whether Debian may have the compiler: without package lists nothing is known.
    fn may_have_unlisted_compiler(&self, needs: Needs) -> bool {
        needs.bpf
            && self.facts.distribution == "debian"
            && self.facts.distribution_compiler.is_none()
            && matches!(choose(self.facts.compilers()), None | Some((_, CompilerLacks::RustSource)))
    }
}

/// What is missing, what it is for, and the commands that get it.
pub(super) fn describe_missing(facts: &MachineFacts, missing: &[MissingItem]) -> String {
    let mut text = format!("this machine ({}) lacks:", facts.system);
    for MissingItem { what, why, .. } in missing {
        text.push_str(&format!("\n  {what}: {why}"));
    }
    let packages = |pick: fn(&HowToGet) -> Option<&str>| {
        missing.iter().filter_map(|missing| pick(&missing.get)).collect::<Vec<_>>().join(" ")
    };
    let apt = packages(|get| if let HowToGet::Apt(package) = get { Some(package) } else { None });
    let dnf = packages(|get| if let HowToGet::Dnf(package) = get { Some(package) } else { None });
    text.push_str("\nget it with:");
    if !apt.is_empty() {
        let update = if facts.candidates.is_empty() { "sudo apt-get update && " } else { "" };
        text.push_str(&format!("\n  {update}sudo apt-get install --no-install-recommends {apt}"));
    }
    if !dnf.is_empty() {
        text.push_str(&format!("\n  sudo dnf install {dnf}"));
    }
    for missing in missing {
        if let HowToGet::By(how) = &missing.get {
            text.push_str(&format!("\n  {how}"));
        }
    }
    text
}

#[cfg(test)]
mod tests;
