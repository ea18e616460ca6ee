//! Two network namespaces joined by a veth pair with two queues.

use crate::netns::Namespace;
use crate::run::{ask, exec, output};
use anyhow::{Context as _, Result};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Command;

/// Kind of the namespaces, in their names.
pub(crate) const KIND: &str = "demo";
/// The server's end of the pair.
pub(crate) const INTERFACE: &str = "xs-server";
/// The client's end.
pub(super) const CLIENT_INTERFACE: &str = "xs-client";
/// The server's address over IPv4.
pub(crate) const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// The client's address over IPv4.
pub(super) const CLIENT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// The server's address over IPv6.
pub(super) const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
/// The client's address over IPv6.
pub(super) const CLIENT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
/// The one port that clients get while the guard of [`DemoNetwork::pin_ports`] exists.
pub(super) const CLIENT_PORT: u16 = 40_000;

const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The namespaces and the pair. Drop deletes them.
pub(crate) struct DemoNetwork {
    pub(crate) server: Namespace,
    pub(crate) client: Namespace,
    /// Whether this kernel has IPv6.
    pub(super) ipv6: bool,
}

impl DemoNetwork {
    pub(crate) fn build() -> Result<Self> {
        let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let network = DemoNetwork {
            server: Namespace::create(KIND, "server")?,
            client: Namespace::create(KIND, "client")?,
            ipv6,
        };
        let (server, client) = (network.server.name(), network.client.name());
        // Makes both ends inside the namespaces, so that the machine's own never has them.
        let pair = format!(
            "link add {INTERFACE} netns {server} numrxqueues 2 numtxqueues 2 type veth \
             peer name {CLIENT_INTERFACE} netns {client} numrxqueues 2 numtxqueues 2"
        );
        exec(Command::new("ip").args(pair.split_whitespace()))?;
        let ends = [
            (&network.server, INTERFACE, SERVER_V4, SERVER_V6),
            (&network.client, CLIENT_INTERFACE, CLIENT_V4, CLIENT_V6),
        ];
        for (namespace, interface, v4, v6) in ends {
            namespace.ip(&format!("address add {v4}/24 dev {interface}"))?;
            if ipv6 {
                // Without duplicate address detection, which would delay the address for seconds.
                namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
            }
            namespace.ip(&format!("link set {interface} up"))?;
        }
        // Makes clients send complete checksums, as a NIC does: the kernel answers no others.
        output(network.client.command("ethtool").args(["-K", CLIENT_INTERFACE, "tx", "off"]))?;
        Ok(network)
    }

    /// Attaches an XDP program that passes everything to the client's end, which receives what the other
    /// end sends by XDP_TX only with a program. Drop of the guard detaches it.
    pub(super) fn attach_pass(&self, object: &Path) -> Result<AttachedPass<'_>> {
        let object = object.to_str().context("the target directory's path is not UTF-8")?;
        let attached = AttachedPass(&self.client);
        output(self.client.command("ip").args([
            "link",
            "set",
            "dev",
            CLIENT_INTERFACE,
            "xdpdrv",
            "object",
            object,
            "section",
            "xdp",
        ]))?;
        Ok(attached)
    }

    /// Limits the client's ephemeral ports to [`CLIENT_PORT`], so that every client's true port is known.
    /// Drop of the guard restores the range. `None` if `/proc/sys` is read-only, as in some containers.
    pub(super) fn pin_ports(&self) -> Option<PinnedPorts<'_>> {
        let range = ask(self.client.command("cat").arg(PORT_RANGE))?;
        let pinned = PinnedPorts { namespace: &self.client, range };
        write_range(&self.client, &format!("{CLIENT_PORT} {CLIENT_PORT}")).then_some(pinned)
    }
}

/// Detaches the program of the client's end when dropped.
pub(super) struct AttachedPass<'a>(&'a Namespace);

impl Drop for AttachedPass<'_> {
    fn drop(&mut self) {
        let arguments = ["link", "set", "dev", CLIENT_INTERFACE, "xdpdrv", "off"];
        if let Err(error) = output(self.0.command("ip").args(arguments)) {
            eprintln!("{error:#}");
        }
    }
}

/// Restores the client's range of ephemeral ports when dropped.
pub(super) struct PinnedPorts<'a> {
    namespace: &'a Namespace,
    range: String,
}

impl Drop for PinnedPorts<'_> {
    fn drop(&mut self) {
        write_range(self.namespace, self.range.trim());
    }
}

fn write_range(namespace: &Namespace, range: &str) -> bool {
    let script = format!("echo '{range}' > {PORT_RANGE}");
    ask(namespace.command("sh").args(["-c", &script])).is_some()
}
