//! What the verbs need of the distribution, and why.

/// Which pieces a verb needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// To compile the host program with AF_XDP.
    pub(crate) host: bool,
    /// To compile the eBPF object.
    pub(crate) bpf: bool,
    /// What lint calls: components of the Rust toolchain, and the compiler of what it compiles besides.
    pub(crate) lint: bool,
    /// The namespaces and the clients of the demonstration.
    pub(crate) demo: bool,
    /// The further clients of the end-to-end tests.
    pub(crate) test: bool,
    /// The counter of instructions.
    pub(crate) count: bool,
    /// The virtual machines, and what their file systems are made of.
    pub(crate) vm: bool,
    /// What packs.
    pub(crate) dist: bool,
    /// What a package is installed into, and who reads what it brings.
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

    fn want(&self, group: Group) -> bool {
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

/// One thing that the distribution packages.
pub(crate) struct Piece {
    group: Group,
    /// Package name on Debian and Ubuntu.
    pub(crate) apt: &'static str,
    /// Package name on Fedora, or nothing where Fedora has none.
    pub(crate) dnf: &'static str,
    /// What it is for.
    pub(crate) why: &'static str,
    /// How it shows that it is there, however it came: the name of a command, or paths of which one
    /// exists. Empty where only the package manager can tell.
    pub(crate) signs: &'static [&'static str],
}

const fn piece(
    group: Group,
    apt: &'static str,
    dnf: &'static str,
    signs: &'static [&'static str],
    why: &'static str,
) -> Piece {
    Piece { group, apt, dnf, why, signs }
}

const PIECES: &[Piece] = &[
    piece(Group::Host, "clang", "clang", &["clang"], "compiles libxdp, which makes the AF_XDP sockets"),
    piece(
        Group::Host,
        "libclang-dev",
        "clang-devel",
        &["/usr/lib64/libclang.so", "/usr/lib/libclang.so"],
        "bindgen reads libxdp's headers with it",
    ),
    piece(
        Group::Host,
        "libelf-dev",
        "elfutils-libelf-devel",
        &["/usr/include/libelf.h"],
        "libbpf, inside libxdp, reads ELF files with it",
    ),
    piece(Group::Host, "zlib1g-dev", "zlib-ng-compat-devel", &["/usr/include/zlib.h"], "libelf links to it"),
    piece(Group::Host, "make", "make", &["make"], "libbpf, inside libxdp, is built with it"),
    piece(Group::Host, "m4", "m4", &["m4"], "libxdp's build generates its dispatcher with it"),
    piece(
        Group::Host,
        "pkg-config",
        "pkgconf-pkg-config",
        &["pkg-config"],
        "libxdp's build finds libelf by it",
    ),
    piece(Group::Lint, "g++", "gcc-c++", &["c++"], "compiles libFuzzer, for lint of the fuzz targets"),
    piece(Group::Demo, "iproute2", "iproute", &["ip"], "makes the network namespaces and the veth pair"),
    piece(Group::Demo, "ethtool", "ethtool", &["ethtool"], "sets the offloads of the veth pair"),
    piece(Group::Demo, "util-linux", "util-linux", &["setpriv"], "ends the servers of a run that is killed"),
    piece(
        Group::Demo,
        "coturn",
        "coturn-utils",
        &["turnutils_stunclient"],
        "its STUN client asks the server (its own server is left switched off)",
    ),
    piece(Group::Demo, "stun-client", "", &["stun"], "a classic (RFC 3489) client that asks the server"),
    piece(Group::Test, "sofia-sip-bin", "sofia-sip-utils", &["stunc"], "its STUN client asks the server"),
    piece(Group::Test, "nmap", "nmap", &["nmap"], "its stun-info script asks the server"),
    piece(Group::Test, "iputils-ping", "iputils", &["ping"], "shows that other traffic still passes"),
    piece(
        Group::Test,
        "nftables",
        "nftables",
        &["nft"],
        "makes the NATs that `xstun probe --nat` tells apart",
    ),
    piece(
        Group::Test,
        "prometheus",
        "prometheus",
        &["promtool"],
        "checks the metrics, and scrapes them (its own service is left switched off)",
    ),
    piece(
        Group::Test,
        "bpftool",
        "bpftool",
        &["bpftool", "/usr/sbin/bpftool"],
        "takes the XDP program away under a running server",
    ),
    piece(
        Group::Test,
        "chromium",
        "chromium",
        &["chromium"],
        "asks the server as a browser does, and draws the status page",
    ),
    piece(Group::Test, "nodejs", "nodejs", &["node"], "runs the clients of npm, stun and node-stun"),
    piece(Group::Test, "npm", "nodejs-npm", &["npm"], "fetches the clients of npm"),
    piece(Group::Test, "python3-venv", "python3", &[], "holds the clients of PyPI, aioice and pystun3"),
    piece(Group::Dist, "dpkg-dev", "", &["dpkg-shlibdeps"], "finds what the Debian package depends on"),
    piece(Group::Dist, "binutils", "binutils", &["strip"], "takes debug information out of the binaries"),
    piece(
        Group::DistCheck,
        "debootstrap",
        "",
        &["debootstrap"],
        "makes the system that the package is tried in",
    ),
    piece(Group::DistCheck, "zsh", "zsh", &["zsh"], "reads its completions"),
    piece(Group::DistCheck, "fish", "fish", &["fish"], "reads its completions"),
    piece(Group::Vm, "iproute2", "iproute", &["ip"], "lays the guests' wires, and those inside them"),
    piece(Group::Vm, "ethtool", "ethtool", &["ethtool"], "sets queues and offloads in the guests"),
    piece(Group::Vm, "util-linux", "util-linux", &["setpriv"], "ends the guests of a run that is killed"),
    piece(
        Group::Vm,
        "iputils-ping",
        "iputils",
        &["ping"],
        "shows in the guests that other traffic still passes",
    ),
    piece(
        Group::Vm,
        "qemu-system-x86",
        "qemu-system-x86-core",
        &["qemu-system-x86_64"],
        "runs the virtual machines",
    ),
    piece(Group::Vm, "busybox-static", "busybox", &["busybox"], "is most of the guests' user space"),
    piece(Group::Vm, "cpio", "cpio", &["cpio"], "packs the guests' file systems"),
    piece(Group::Vm, "kmod", "kmod", &["depmod"], "tells which modules the guests' NICs need"),
    piece(Group::Vm, "xz-utils", "xz", &["xz"], "unpacks the modules of Debian's kernels"),
    piece(Group::Vm, "binutils", "binutils", &["strip"], "makes the test programs small"),
    piece(Group::Vm, "zstd", "zstd", &["zstd"], "unpacks modules that are compressed by it"),
    piece(
        Group::Vm,
        "debian-archive-keyring",
        "",
        &["/usr/share/keyrings/debian-archive-keyring.gpg"],
        "proves that the kernels are Debian's",
    ),
    piece(Group::Count, "valgrind", "valgrind", &["valgrind"], "counts instructions"),
];

/// The pieces of the wanted groups.
pub(crate) fn pieces(needs: Needs) -> impl Iterator<Item = &'static Piece> {
    PIECES.iter().filter(move |piece| needs.want(piece.group))
}

/// Whether a package is wanted for what only the tests call.
pub(crate) fn only_tests_want(package: &str) -> bool {
    let mut wanting = PIECES.iter().filter(|piece| piece.apt == package).peekable();
    wanting.peek().is_some() && wanting.all(|piece| matches!(piece.group, Group::Test))
}
