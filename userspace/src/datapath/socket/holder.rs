//! Which process holds a port, as far as `/proc` shows it.

use std::fs;
use std::net::SocketAddr;

/// The protocol that a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransportProtocol {
    Udp,
    Tcp,
}

impl TransportProtocol {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            TransportProtocol::Udp => "UDP",
            TransportProtocol::Tcp => "TCP",
        }
    }

    /// The command that lists the processes that listen.
    pub(super) fn list_command(self) -> &'static str {
        match self {
            TransportProtocol::Udp => "ss -lunp",
            TransportProtocol::Tcp => "ss -ltnp",
        }
    }

    /// The tables of proc(5), for IPv4 and IPv6, and the state that a socket must have there to hold a port:
    /// TCP_LISTEN for TCP, any for UDP.
    fn tables(self) -> ([&'static str; 2], Option<&'static str>) {
        match self {
            TransportProtocol::Udp => (["/proc/net/udp", "/proc/net/udp6"], None),
            TransportProtocol::Tcp => (["/proc/net/tcp", "/proc/net/tcp6"], Some("0A")),
        }
    }
}

/// Returns the process that holds `address`, like `coturn, process 812`. `None` if it cannot be found: it
/// belongs to another user, or has ended.
pub(super) fn find(transport: TransportProtocol, address: SocketAddr) -> Option<String> {
    let (tables, state) = transport.tables();
    // An IPv6 socket that also receives IPv4 is in the other table.
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

/// Returns the inodes of the sockets with this port, and in this state or any, that a table lists. Its
/// format is that of `/proc/net/udp` (proc(5)).
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
    use super::{TransportProtocol, find, inodes};
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
        let holder = find(TransportProtocol::Udp, socket.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&this), "{holder}");

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(find(TransportProtocol::Tcp, address).unwrap().ends_with(&this));
        let connection = TcpStream::connect(address).unwrap();
        assert_eq!(
            find(TransportProtocol::Tcp, connection.local_addr().unwrap()),
            None,
            "it does not listen"
        );
    }
}
