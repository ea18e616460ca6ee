//! Where the kernel runs the XDP program, and how frames reach user space.

/// Where the kernel runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook, after the driver has built a socket buffer.
    Generic,
}

impl XdpMode {
    /// Name in flags and logs.
    pub const fn name(self) -> &'static str {
        match self {
            XdpMode::Native => "native",
            XdpMode::Generic => "generic",
        }
    }
}

/// How frames get from the driver to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindMode {
    /// The NIC writes into the UMEM.
    ZeroCopy,
    /// The kernel copies each frame.
    Copy,
}

impl BindMode {
    /// Name in flags and logs.
    pub const fn name(self) -> &'static str {
        match self {
            BindMode::ZeroCopy => "zero-copy",
            BindMode::Copy => "copy",
        }
    }
}
