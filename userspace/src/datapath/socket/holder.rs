//! Who holds a port, as far as `/proc` tells.

use std::fs;
use std::net::SocketAddr;

/// What a port is a port of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// As a person names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The command that lists who listens.
    pub(super) fn lister(self) -> &'static str {
        match self {
            Transport::Udp => "ss -lunp",
            Transport::Tcp => "ss -ltnp",
        }
    }

    /// The tables of proc(5), for IPv4 and IPv6, and the state in them of a socket that holds a port:
    /// of TCP's only those that listen (TCP_LISTEN).
    fn tables(self) -> ([&'static str; 2], Option<&'static str>) {
        match self {
            Transport::Udp => (["/proc/net/udp", "/proc/net/udp6"], None),
            Transport::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], Some("0A")),
        }
    }
}

/// The process that holds `address`, as a person names it (`coturn, process 812`). `None` where it
/// cannot be told: it belongs to another user, or is gone.
pub(super) fn of(transport: Transport, address: SocketAddr) -> Option<String> {
    let (tables, state) = transport.tables();
    // An IPv6 socket that also takes IPv4 stands in the other table.
    let tables = if address.is_ipv4() { &tables[..] } else { &tables[1..] };
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| inodes(&text, address.port(), state))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit()) {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        for file in files.flatten() {
            let Ok(target) = fs::read_link(file.path()) else { continue };
            if inodes.iter().any(|inode| target.as_os_str() == inode.as_str()) {
                let name = fs::read_to_string(process.path().join("comm")).ok()?;
                return Some(format!("{}, process {}", name.trim_end(), process.file_name().display()));
            }
        }
    }
    None
}

/// Inodes of the sockets in this state, or in any, that a table of the form of proc(5)'s
/// `/proc/net/udp` lists under `port`.
fn inodes(table: &str, port: u16, state: Option<&str>) -> Vec<u64> {
    let inode = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        let found = columns.nth(1)?;
        let inode = columns.nth(5)?.parse().ok()?;
        let wanted = state.is_none_or(|state| state == found);
        (wanted && u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
    };
    table.lines().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::{Transport, inodes, of};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  371: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 30411 2 0000000000000000 0
  952: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1827 2 0000000000000000 0
";

    #[test]
    fn the_table_gives_the_inode_of_a_port() {
        assert_eq!(inodes(TABLE, 3478, None), [30411]);
        assert_eq!(inodes(TABLE, 53, Some("07")), [1827]);
        assert!(inodes(TABLE, 53, Some("0A")).is_empty());
        assert!(inodes(TABLE, 80, None).is_empty());
    }

    #[test]
    fn this_process_is_found_by_its_port() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let this = format!("process {}", std::process::id());
        let holder = of(Transport::Udp, socket.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&this), "{holder}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(of(Transport::Tcp, address).unwrap().ends_with(&this));
        let connection = TcpStream::connect(address).unwrap();
        assert_eq!(of(Transport::Tcp, connection.local_addr().unwrap()), None, "it does not listen");
    }
}
