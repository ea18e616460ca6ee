//! The modes of serving that every machine supports, pinned by flags.

use xstun::datapath::af_xdp::XdpMode;
use xstun::datapath::af_xdp::program::XdpProgram;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::server::Server;

/// A pinned mode of serving.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mode {
    flags: &'static [&'static str],
    /// The path that answers plain requests, as named in the log and the counters.
    pub(crate) path: &'static str,
    xdp_mode: Option<&'static str>,
}

/// AF_XDP, with the XDP program in the driver.
pub(crate) const NATIVE: Mode = Mode {
    flags: &["--datapath", "af-xdp", "--xdp-mode", "native", "--kernel-answers", "off"],
    path: "af-xdp",
    xdp_mode: Some("native"),
};

/// AF_XDP, with the XDP program in the kernel's generic hook.
pub(crate) const GENERIC: Mode = Mode {
    flags: &["--datapath", "af-xdp", "--xdp-mode", "generic", "--kernel-answers", "off"],
    path: "af-xdp",
    xdp_mode: Some("generic"),
};

/// Kernel answers, with the XDP program in the driver. The client's end of the pair must run an XDP program, or no
/// reply reaches it: see [`passing_program`].
pub(crate) const KERNEL_NATIVE: Mode = Mode {
    flags: &["--datapath", "af-xdp", "--xdp-mode", "native", "--kernel-answers", "on"],
    path: "xdp",
    xdp_mode: Some("native"),
};

/// Kernel answers, with the XDP program in the kernel's generic hook, where they are the default.
pub(crate) const KERNEL_GENERIC: Mode = Mode {
    flags: &["--datapath", "af-xdp", "--xdp-mode", "generic"],
    path: "xdp",
    xdp_mode: Some("generic"),
};

/// Ordinary sockets only.
pub(crate) const SOCKETS: Mode = Mode { flags: &["--datapath", "socket"], path: "sockets", xdp_mode: None };

/// Command prefix that runs a command as root without any capability.
pub(crate) const WITHOUT_CAPABILITIES: [&str; 5] =
    ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"];

impl Mode {
    /// Serves on the lab's first link, and checks that the server runs in this mode.
    pub(crate) fn serve(self, lab: &Lab, more: &[&str]) -> Server {
        let interface = &lab.link().server_interface;
        let server = Server::start(&lab.server, &[&["--interface", interface], self.flags, more].concat());
        if let Some(xdp_mode) = self.xdp_mode {
            let line = server.serving_on(interface);
            assert_eq!((&line["path"], &line["xdp_mode"]), (&"af-xdp".into(), &xdp_mode.into()), "{line}");
            let answers = line["kernel_answers"].as_str().expect("the line says whether the program answers");
            assert_eq!(answers.starts_with("on: "), self.path == "xdp", "{line}");
        }
        assert_eq!(lab.server.has_xdp(interface), self.xdp_mode.is_some(), "an XDP program is attached");
        server
    }

    /// The path that must not answer plain requests.
    pub(crate) fn other_path(self) -> &'static str {
        if self.path == "af-xdp" { "sockets" } else { "af-xdp" }
    }

    /// Where its XDP program runs, if it has one.
    pub(crate) fn xdp_mode(self) -> Option<&'static str> {
        self.xdp_mode
    }
}

/// Whether a veth end can be busy-polled. Since Linux 6.13 that requires a driver that exposes its NAPI
/// instances, which veth's does not.
pub(crate) fn busy_polling_works() -> bool {
    xstun::kernel::running() < (6, 13)
}

/// Attaches an XDP program that passes every frame to the client's end of the lab's first link: xstun's own, which
/// serves nothing there. It is detached on drop.
pub(crate) fn passing_program(lab: &Lab) -> XdpProgram {
    lab.client.enter(|| {
        let interface = xstun::interface::find(&lab.link().client_interface).expect("the client's interface");
        let mut program = XdpProgram::load(1, false).expect("the XDP program loads");
        program.attach(&interface, XdpMode::Native).expect("the XDP program attaches");
        program
    })
}
