//! Which modes to try, the best first, and what to do about a refusal.

use super::mode::{BindMode, XdpMode};
use super::program::XdpProgram;
use crate::config::{BindModeArg, XdpModeArg};
use crate::datapath::InheritedLink;
use crate::datapath::drivers::{self, DriverTrust};
use crate::datapath::step_down::{StepDown, is_denied};
use crate::error::{Failure, Result};
use crate::interface::{self, Interface};
use crate::kernel;

/// The remedy for missing permissions.
pub(super) const GRANT: &str = "run as root, or grant CAP_NET_ADMIN, CAP_BPF, CAP_PERFMON and CAP_NET_RAW, or serve with --datapath socket";

/// Returns the mode of an inherited attachment, which cannot change.
///
/// # Errors
/// A flag pins the other mode.
pub(super) fn inherited_mode(link: &InheritedLink, wanted: XdpModeArg) -> Result<XdpMode> {
    let mode = if link.native { XdpMode::Native } else { XdpMode::Generic };
    let pinned = match wanted {
        XdpModeArg::Auto => mode,
        XdpModeArg::Native => XdpMode::Native,
        XdpModeArg::Generic => XdpMode::Generic,
    };
    if pinned == mode {
        return Ok(mode);
    }
    Err(Failure::usage(format!(
        "--xdp-mode {} is not available with --take-over: the XDP program on {} runs in {} mode and cannot \
         change it",
        pinned.name(),
        link.interface,
        mode.name()
    ))
    .of_value("--xdp-mode", pinned.name())
    .remedy("use --xdp-mode auto, or stop the other server and start this one"))
}

/// Attaches in the best mode that `wanted` allows.
///
/// # Errors
/// The kernel's refusal of the last mode that was tried.
pub(crate) fn attach(
    program: &mut XdpProgram,
    interface: &Interface,
    wanted: XdpModeArg,
    stepped_down: &mut Vec<StepDown>,
) -> Result<XdpMode> {
    if wanted != XdpModeArg::Generic {
        match program.attach(interface, XdpMode::Native) {
            Ok(()) => return Ok(XdpMode::Native),
            Err(failure) if wanted == XdpModeArg::Native || is_denied(&failure) => return Err(failure),
            Err(failure) => stepped_down.push(StepDown::new("native", &failure)),
        }
    }
    program.attach(interface, XdpMode::Generic)?;
    Ok(XdpMode::Generic)
}

/// Returns the bind modes to try, the best first, and why zero-copy is not among them.
///
/// # Errors
/// Zero-copy is pinned, and the program does not run in the driver, or `busy_poll` is set and the driver's
/// zero-copy cannot be busy-polled.
pub(crate) fn bind_modes(
    interface: &Interface,
    mode: XdpMode,
    wanted: BindModeArg,
    busy_poll: bool,
) -> Result<(Vec<BindMode>, Option<StepDown>)> {
    let driver = interface::driver(interface).unwrap_or_default();
    let unpolled = drivers::no_busy_poll(&driver).filter(|_| busy_poll);
    match wanted {
        BindModeArg::Copy => return Ok((vec![BindMode::Copy], None)),
        BindModeArg::ZeroCopy => {
            refuse_pinned_zero_copy(interface, mode, unpolled)?;
            return Ok((vec![BindMode::ZeroCopy], None));
        }
        BindModeArg::Auto => {}
    }
    if mode == XdpMode::Generic {
        return Ok((vec![BindMode::Copy], None));
    }
    let why_not = match drivers::zero_copy(&driver, kernel::running()) {
        DriverTrust::Trusted => unpolled,
        DriverTrust::Untrusted(why) | DriverTrust::Unsupported(why) => Some(why),
    };
    Ok(match why_not {
        None => (vec![BindMode::ZeroCopy, BindMode::Copy], None),
        Some(why) => (vec![BindMode::Copy], Some(StepDown { from: "zero-copy".into(), reason: why.into() })),
    })
}

fn refuse_pinned_zero_copy(interface: &Interface, mode: XdpMode, unpolled: Option<&str>) -> Result<()> {
    let name = &interface.name;
    if mode == XdpMode::Generic {
        return Err(Failure::system(format!(
            "--bind-mode zero-copy is not available: the driver of {name} has no native XDP"
        ))
        .of_value("--bind-mode", "zero-copy")
        .remedy("use --bind-mode auto"));
    }
    match unpolled {
        None => Ok(()),
        Some(why) => Err(Failure::system(format!(
            "--bind-mode zero-copy is not available on {name} together with --busy-poll: {why}"
        ))
        .of_value("--bind-mode", "zero-copy")
        .of("--busy-poll")
        .remedy("leave one of them out")),
    }
}

/// Adds the remedy for a refused attachment.
pub(super) fn explain(failure: Failure, interface: &Interface) -> Failure {
    let Interface { name, mtu, .. } = interface;
    let remedy = match failure.errno() {
        Some(libc::EPERM | libc::EACCES) => GRANT.into(),
        Some(libc::EBUSY) => format!(
            "another XDP program is attached: `ip link set dev {name} xdp off` detaches it, or serve with \
             --datapath socket"
        ),
        Some(libc::ERANGE | libc::EINVAL | libc::EOPNOTSUPP) if *mtu > 1500 => format!(
            "its MTU of {mtu} may be too large for the driver: lower it (`ip link set dev {name} mtu 1500`), or \
             use --xdp-mode generic"
        ),
        Some(libc::EOPNOTSUPP) => "its driver has no native XDP: use --xdp-mode auto or generic".into(),
        Some(libc::ENOTCONN) => "bring the other end of the veth pair up first".into(),
        _ => format!("run `xstun doctor --interface {name}`, or serve without XDP: --datapath socket"),
    };
    failure.remedy(remedy)
}
