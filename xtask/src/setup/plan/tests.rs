use super::{HowToGet, SetupPlan, SetupStep, describe_missing, plan};
use crate::bpf::{BpfCompiler, CompilerSource, LINKER_LLVM, RustToolchain};
use crate::setup::facts::MachineFacts;
use crate::setup::packages::{Needs, packages};
use std::collections::BTreeSet;

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

fn packaged() -> BTreeSet<String> {
    packages(Needs::TEST).map(|package| package.apt.to_owned()).collect()
}

fn stable(rust_src: bool) -> RustToolchain {
    let name = "stable-x86_64-unknown-linux-gnu".to_owned();
    RustToolchain { name, active: true, rust_src, version: "1.95.0".into(), llvm: 22 }
}

fn debian_compiler() -> BpfCompiler {
    BpfCompiler { source: CompilerSource::Distribution, version: "1.96.0".into(), llvm: 22 }
}

/// Root on a fresh Debian 12 with rustup and package lists.
fn debian() -> MachineFacts {
    let mut candidates = packaged();
    candidates.append(&mut names([
        "rustc-web",
        "rust-web-src",
        "cargo-web",
        "llvm-22-dev",
        "libpolly-22-dev",
    ]));
    MachineFacts {
        distribution: "debian".into(),
        codename: "bookworm".into(),
        system: "Debian GNU/Linux 12 (bookworm)".into(),
        root: true,
        apt: true,
        candidates,
        toolchains: vec![stable(false)],
        distribution_compiler: Some(debian_compiler()),
        rustfmt: true,
        clippy: true,
        ..MachineFacts::default()
    }
}

fn furnished() -> MachineFacts {
    let fresh = debian();
    MachineFacts {
        installed: fresh.candidates.clone(),
        candidates: BTreeSet::new(),
        linker: Some(22),
        python_clients: true,
        node_clients: true,
        ..fresh
    }
}

fn installs(step: &SetupStep) -> BTreeSet<String> {
    match step {
        SetupStep::AptInstall(wanted) => wanted.iter().map(|wanted| wanted.package.clone()).collect(),
        other => panic!("{other:?} installs no packages"),
    }
}

#[test]
fn a_fresh_debian_gets_packages_then_the_linker_then_the_clients() {
    let plan = plan(&debian(), Needs::TEST);
    assert_eq!(plan.missing, []);
    let [packages, SetupStep::BpfLinker { llvm: 22 }, SetupStep::PythonClients, SetupStep::NodeClients] =
        plan.steps.as_slice()
    else {
        panic!("{:?}", plan.steps);
    };
    assert_eq!(installs(packages), debian().candidates);
    assert_eq!(plan.compiler, Some(debian_compiler()));
}

#[test]
fn a_build_installs_no_client() {
    let plan = plan(&debian(), Needs::BUILD);
    let packages = installs(&plan.steps[0]);
    assert!(packages.contains("clang") && packages.contains("rust-web-src"), "{packages:?}");
    assert!(!packages.contains("coturn") && !packages.contains("python3-venv"), "{packages:?}");
    assert!(!plan.steps.contains(&SetupStep::PythonClients));
}

#[test]
fn nothing_is_done_where_all_is_there() {
    for needs in [Needs::BUILD, Needs::LINT, Needs::DEMO, Needs::TEST, Needs::TEST_WITHOUT_ROOT] {
        for root in [true, false] {
            let plan = plan(&MachineFacts { root, ..furnished() }, needs);
            assert!(plan.is_empty(), "{plan:?}");
        }
    }
}

#[test]
fn empty_package_lists_are_fetched_before_anything_is_decided() {
    let facts = MachineFacts { candidates: BTreeSet::new(), distribution_compiler: None, ..debian() };
    let expected = SetupPlan { steps: vec![SetupStep::AptUpdate], ..SetupPlan::default() };
    assert_eq!(SetupPlan { compiler: None, ..plan(&facts, Needs::TEST) }, expected);

    // All packages are there but the compiler, of which the lists would tell.
    let facts = MachineFacts {
        installed: packaged(),
        candidates: names(["llvm-22-dev", "libpolly-22-dev"]),
        ..facts
    };
    assert_eq!(plan(&facts, Needs::BUILD).steps, [SetupStep::AptUpdate]);
}

#[test]
fn a_package_that_no_list_knows_is_named() {
    let mut facts = MachineFacts { updated: true, ..debian() };
    facts.candidates.remove("stun-client");
    let plan = plan(&facts, Needs::DEMO);
    let missing: Vec<_> = plan.missing.iter().map(|missing| missing.what.as_str()).collect();
    assert_eq!(missing, ["stun-client"]);
}

#[test]
fn without_root_each_missing_package_is_named_with_its_command() {
    let facts = MachineFacts { root: false, ..debian() };
    let plan = plan(&facts, Needs::TEST);
    let missing: BTreeSet<_> = plan
        .missing
        .iter()
        .map(|missing| match &missing.get {
            HowToGet::Apt(package) => package.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(missing, facts.candidates);
    assert!(!plan.steps.iter().any(|step| matches!(step, SetupStep::AptInstall(_) | SetupStep::AptUpdate)));

    let told = describe_missing(&facts, &plan.missing);
    assert!(told.contains("\n  clang: compiles libxdp"), "{told}");
    assert!(told.contains("\n  sudo apt-get install --no-install-recommends clang libclang-dev"), "{told}");
}

/// Root on Ubuntu 24.04 with rustup: no package of a new enough compiler, none of its LLVM.
fn ubuntu() -> MachineFacts {
    MachineFacts {
        distribution: "ubuntu".into(),
        codename: "noble".into(),
        system: "Ubuntu 24.04 LTS".into(),
        candidates: packaged(),
        distribution_compiler: None,
        updated: true,
        ..debian()
    }
}

#[test]
fn ubuntu_gets_the_llvm_repository_and_rust_src() {
    let mut facts = ubuntu();
    facts.installed.append(&mut names(["curl", "ca-certificates"]));
    let repository = SetupStep::LlvmRepository { codename: "noble".into(), llvm: 22 };
    assert_eq!(plan(&facts, Needs::BUILD).steps, [repository]);

    facts.candidates.append(&mut names(["llvm-22-dev", "libpolly-22-dev"]));
    let plan = plan(&facts, Needs::BUILD);
    assert_eq!(plan.missing, []);
    let [
        packages,
        SetupStep::RustupComponent { toolchain: Some(toolchain), component: "rust-src", .. },
        linker,
    ] = plan.steps.as_slice()
    else {
        panic!("{:?}", plan.steps);
    };
    assert!(installs(packages).contains("libpolly-22-dev") && installs(packages).contains("clang"));
    assert_eq!(toolchain, "stable-x86_64-unknown-linux-gnu");
    assert_eq!(*linker, SetupStep::BpfLinker { llvm: 22 });
}

#[test]
fn a_client_that_the_distribution_does_not_have_may_be_missing_if_tests_may_skip_it() {
    let mut facts = debian();
    facts.updated = true;
    facts.candidates.remove("chromium");
    let stopped = plan(&facts, Needs::TEST);
    assert_eq!(stopped.missing.iter().map(|missing| &missing.what[..]).collect::<Vec<_>>(), ["chromium"]);

    facts.skips_missing = true;
    let skipping = plan(&facts, Needs::TEST);
    assert_eq!(skipping.missing, []);
    let packages = skipping.steps.iter().find(|step| matches!(step, SetupStep::AptInstall(_))).unwrap();
    assert!(!installs(packages).contains("chromium") && installs(packages).contains("nmap"));

    facts.candidates.remove("iproute2");
    assert_eq!(plan(&facts, Needs::TEST).missing.len(), 1, "the tests cannot do without");
}

#[test]
fn the_key_of_a_repository_needs_something_to_fetch_it() {
    let plan = plan(&ubuntu(), Needs::BUILD);
    assert_eq!(installs(&plan.steps[0]), names(["curl", "ca-certificates"]));
}

#[test]
fn a_nightly_with_the_sources_of_core_goes_before_all_but_an_override() {
    let nightly = RustToolchain { name: "nightly-x".into(), active: false, rust_src: true, ..stable(true) };
    let mut facts = MachineFacts { toolchains: vec![stable(true), nightly], ..furnished() };
    let source = |facts: &MachineFacts| plan(facts, Needs::BUILD).compiler.map(|compiler| compiler.source);
    assert_eq!(source(&facts), Some(CompilerSource::Rustup { toolchain: "nightly-x".into() }));

    let named = CompilerSource::Override { rustc: "/opt/rustc".into(), cargo: "/opt/cargo".into() };
    facts.named_compiler = Some(BpfCompiler { source: named.clone(), ..debian_compiler() });
    assert_eq!(source(&facts), Some(named));
}

#[test]
fn a_toolchain_whose_llvm_the_linker_does_not_know_is_passed_over() {
    let newer = RustToolchain { llvm: LINKER_LLVM.end() + 1, ..stable(true) };
    let facts = MachineFacts { toolchains: vec![newer], ..furnished() };
    assert_eq!(plan(&facts, Needs::BUILD).compiler, Some(debian_compiler()));
}

#[test]
fn a_linker_of_another_llvm_is_replaced() {
    let facts = MachineFacts { linker: Some(21), ..furnished() };
    assert_eq!(plan(&facts, Needs::BUILD).steps, [SetupStep::BpfLinker { llvm: 22 }]);
}

#[test]
fn fedora_is_told_its_own_package_names() {
    let facts = MachineFacts {
        distribution: "fedora".into(),
        system: "Fedora Linux 42".into(),
        root: true,
        toolchains: vec![stable(true)],
        seen: names(["clang", "m4"]),
        rustfmt: true,
        clippy: true,
        ..MachineFacts::default()
    };
    let plan = plan(&facts, Needs::DEMO);
    let told = describe_missing(&facts, &plan.missing);
    assert!(told.contains("sudo dnf install clang-devel elfutils-libelf-devel"), "{told}");
    assert!(told.contains("llvm-devel") && told.contains("coturn-utils"), "{told}");
    assert!(told.contains("find the package that Debian calls stun-client"), "{told}");
    assert!(!plan.steps.iter().any(|step| matches!(step, SetupStep::AptInstall(_))), "{:?}", plan.steps);
}

#[test]
fn missing_lint_components_are_added_by_rustup_or_named() {
    let facts = MachineFacts { rustfmt: false, ..furnished() };
    let [SetupStep::RustupComponent { toolchain: None, component: "rustfmt", .. }] =
        plan(&facts, Needs::LINT).steps.as_slice()
    else {
        panic!("{:?}", plan(&facts, Needs::LINT));
    };
    let without_rustup = MachineFacts { toolchains: Vec::new(), ..facts };
    assert_eq!(plan(&without_rustup, Needs::LINT).missing[0].what, "rustfmt");
}
