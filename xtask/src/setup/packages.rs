//! What the verbs need: packages of the distribution, each with its reason, and clients from other
//! registries in pinned versions.

/// Fetches over HTTPS, for adding a repository to apt.
pub(super) const CURL: [&str; 2] = ["curl", "ca-certificates"];

/// Clients of PyPI and their versions: pinned, so that a test fails for our own reasons only.
pub(super) const PYTHON_CLIENTS: [&str; 2] = ["aioice==0.13.0", "pystun3==2.0.0"];

/// Clients of npm and their versions.
pub(super) const NODE_CLIENTS: [&str; 2] = ["node-stun@0.1.2", "stun@2.1.0"];

/// What a verb needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// To compile the host program with AF_XDP.
    pub(crate) host: bool,
    /// To compile the eBPF object.
    pub(crate) bpf: bool,
    /// To run lint: components of the Rust toolchain, and the C++ compiler of the fuzz targets.
    pub(crate) lint: bool,
    /// To run the demonstration: namespaces and clients.
    pub(crate) demo: bool,
    /// To run the end-to-end tests: further clients.
    pub(crate) test: bool,
    /// To count instructions.
    pub(crate) count: bool,
    /// To run virtual machines and to make their file systems.
    pub(crate) vm: bool,
    /// To make packages.
    pub(crate) dist: bool,
    /// To try out a package: a system to install it into, and the shells that read its completions.
    pub(crate) dist_check: bool,
}

impl Needs {
    const NONE: Needs = Needs {
        host: false,
        bpf: false,
        lint: false,
        demo: false,
        test: false,
        count: false,
        vm: false,
        dist: false,
        dist_check: false,
    };
    /// `cargo xtask build`.
    pub(crate) const BUILD: Needs = Needs { host: true, bpf: true, ..Needs::NONE };
    /// `cargo xtask lint`.
    pub(crate) const LINT: Needs = Needs { host: true, lint: true, ..Needs::NONE };
    /// `cargo xtask demo`.
    pub(crate) const DEMO: Needs = Needs { demo: true, ..Needs::BUILD };
    /// `cargo xtask test`, as root.
    pub(crate) const TEST: Needs = Needs { lint: true, test: true, ..Needs::DEMO };
    /// `cargo xtask test`, where the tests that need root are skipped.
    pub(crate) const TEST_WITHOUT_ROOT: Needs = Needs { lint: true, ..Needs::BUILD };

    /// `cargo xtask bench --instructions`.
    pub(crate) const INSTRUCTIONS: Needs = Needs { count: true, ..Needs::NONE };
    /// `cargo xtask bench`, both kinds.
    pub(crate) const BENCH: Needs = Needs { demo: true, count: true, ..Needs::BUILD };

    /// `cargo xtask vm`.
    pub(crate) const VM: Needs = Needs { vm: true, ..Needs::BUILD };

    /// `cargo xtask dist`.
    pub(crate) const DIST: Needs = Needs { dist: true, ..Needs::BUILD };
    /// `cargo xtask dist --check`.
    pub(crate) const DIST_CHECK: Needs = Needs { dist_check: true, demo: true, ..Needs::DIST };

    /// All that any verb needs.
    pub(crate) const ALL: Needs =
        Needs { test: true, lint: true, count: true, vm: true, ..Needs::DIST_CHECK };

    fn include(&self, group: Group) -> bool {
        match group {
            Group::Host => self.host,
            Group::Lint => self.lint,
            Group::Demo => self.demo,
            Group::Test => self.test,
            Group::Count => self.count,
            Group::Dist => self.dist,
            Group::DistCheck => self.dist_check,
            Group::Vm => self.vm,
        }
    }
}

#[derive(Clone, Copy)]
enum Group {
    Host,
    Lint,
    Demo,
    Test,
    Count,
    Dist,
    DistCheck,
    Vm,
}

/// One package of the distribution.
pub(super) struct SystemPackage {
    group: Group,
    /// Name on Debian and Ubuntu.
    pub(super) apt: &'static str,
    /// Name on Fedora; empty if Fedora has none.
    pub(super) dnf: &'static str,
    /// What it is for.
    pub(super) why: &'static str,
    /// Signs that it is installed, by whatever means: names of commands and absolute paths, of which one
    /// is enough. Empty if only the package manager knows.
    pub(super) signs: &'static [&'static str],
}

const fn package(
    group: Group,
    apt: &'static str,
    dnf: &'static str,
    signs: &'static [&'static str],
    why: &'static str,
) -> SystemPackage {
    SystemPackage { group, apt, dnf, why, signs }
}

const PACKAGES: &[SystemPackage] = &[
    package(Group::Host, "clang", "clang", &["clang"], "compiles libxdp, which makes the AF_XDP sockets"),
    package(
        Group::Host,
        "libclang-dev",
        "clang-devel",
        &["/usr/lib64/libclang.so", "/usr/lib/libclang.so"],
        "bindgen reads libxdp's headers with it",
    ),
    package(
        Group::Host,
        "libelf-dev",
        "elfutils-libelf-devel",
        &["/usr/include/libelf.h"],
        "libbpf, inside libxdp, reads ELF files with it",
    ),
    package(
        Group::Host,
        "zlib1g-dev",
        "zlib-ng-compat-devel",
        &["/usr/include/zlib.h"],
        "libelf links to it",
    ),
    package(Group::Host, "make", "make", &["make"], "libbpf, inside libxdp, is built with it"),
    package(Group::Host, "m4", "m4", &["m4"], "libxdp's build generates its dispatcher with it"),
    package(
        Group::Host,
        "pkg-config",
        "pkgconf-pkg-config",
        &["pkg-config"],
        "libxdp's build finds libelf with it",
    ),
    package(Group::Lint, "g++", "gcc-c++", &["c++"], "compiles libFuzzer, for lint of the fuzz targets"),
    package(Group::Demo, "iproute2", "iproute", &["ip"], "makes the network namespaces and the veth pair"),
    package(Group::Demo, "ethtool", "ethtool", &["ethtool"], "sets the offloads of the veth pair"),
    package(
        Group::Demo,
        "util-linux",
        "util-linux",
        &["setpriv"],
        "kills the servers of a run that is killed",
    ),
    package(
        Group::Demo,
        "coturn",
        "coturn-utils",
        &["turnutils_stunclient"],
        "its STUN client queries the server (its own server is left disabled)",
    ),
    package(Group::Demo, "stun-client", "", &["stun"], "a classic (RFC 3489) client that queries the server"),
    package(
        Group::Test,
        "sofia-sip-bin",
        "sofia-sip-utils",
        &["stunc"],
        "its STUN client queries the server",
    ),
    package(Group::Test, "xdp-tools", "xdp-tools", &["xdpdump"], "shows what the XDP program answers"),
    package(Group::Test, "nmap", "nmap", &["nmap"], "its stun-info script queries the server"),
    package(Group::Test, "iputils-ping", "iputils", &["ping"], "shows that other traffic still passes"),
    package(
        Group::Test,
        "nftables",
        "nftables",
        &["nft"],
        "makes the NATs that `xstun probe --nat` distinguishes",
    ),
    package(
        Group::Test,
        "prometheus",
        "prometheus",
        &["promtool"],
        "checks the metrics, and scrapes them (its own service is left disabled)",
    ),
    package(
        Group::Test,
        "bpftool",
        "bpftool",
        &["bpftool", "/usr/sbin/bpftool"],
        "detaches the XDP program under a running server",
    ),
    package(
        Group::Test,
        "chromium",
        "chromium",
        &["chromium"],
        "queries the server as a browser does, and draws the status page",
    ),
    package(Group::Test, "nodejs", "nodejs", &["node"], "runs the clients of npm, stun and node-stun"),
    package(Group::Test, "npm", "nodejs-npm", &["npm"], "fetches the clients of npm"),
    package(Group::Test, "python3-venv", "python3", &[], "holds the clients of PyPI, aioice and pystun3"),
    package(Group::Dist, "dpkg-dev", "", &["dpkg-shlibdeps"], "finds the dependencies of the Debian package"),
    package(Group::Dist, "binutils", "binutils", &["strip"], "removes debug information from the binaries"),
    package(
        Group::DistCheck,
        "debootstrap",
        "",
        &["debootstrap"],
        "makes the system that the package is installed into",
    ),
    package(Group::DistCheck, "zsh", "zsh", &["zsh"], "reads its completions"),
    package(Group::DistCheck, "fish", "fish", &["fish"], "reads its completions"),
    package(
        Group::Vm,
        "iproute2",
        "iproute",
        &["ip"],
        "makes the links between the guests' NICs, and those inside the guests",
    ),
    package(Group::Vm, "ethtool", "ethtool", &["ethtool"], "sets queues and offloads in the guests"),
    package(Group::Vm, "util-linux", "util-linux", &["setpriv"], "kills the guests of a run that is killed"),
    package(
        Group::Vm,
        "iputils-ping",
        "iputils",
        &["ping"],
        "shows in the guests that other traffic still passes",
    ),
    package(
        Group::Vm,
        "qemu-system-x86",
        "qemu-system-x86-core",
        &["qemu-system-x86_64"],
        "runs the virtual machines",
    ),
    package(Group::Vm, "busybox-static", "busybox", &["busybox"], "is most of the guests' user space"),
    package(Group::Vm, "cpio", "cpio", &["cpio"], "packs the guests' file systems"),
    package(Group::Vm, "kmod", "kmod", &["depmod"], "finds the modules that the guests' NICs need"),
    package(Group::Vm, "xz-utils", "xz", &["xz"], "unpacks the modules of Debian's kernels"),
    package(Group::Vm, "binutils", "binutils", &["strip"], "shrinks the test programs"),
    package(Group::Vm, "zstd", "zstd", &["zstd"], "unpacks modules that are compressed with it"),
    package(
        Group::Vm,
        "debian-archive-keyring",
        "",
        &["/usr/share/keyrings/debian-archive-keyring.gpg"],
        "proves that the kernels are Debian's",
    ),
    package(Group::Count, "valgrind", "valgrind", &["valgrind"], "counts instructions"),
];

/// The packages that these needs include.
pub(super) fn packages(needs: Needs) -> impl Iterator<Item = &'static SystemPackage> {
    PACKAGES.iter().filter(move |package| needs.include(package.group))
}

/// Whether the tests alone need this package.
pub(super) fn only_tests_need(package: &str) -> bool {
    let mut found = PACKAGES.iter().filter(|known| known.apt == package).peekable();
    found.peek().is_some() && found.all(|known| matches!(known.group, Group::Test))
}

/// Packages that bpf-linker needs to link to this LLVM.
pub(super) fn llvm_packages(major: u32) -> [String; 2] {
    [format!("llvm-{major}-dev"), format!("libpolly-{major}-dev")]
}
