//! Who holds a UDP port, as far as `/proc` tells.

use std::fs;
use std::net::SocketAddr;

/// The process that holds UDP `address`, as a person names it (`coturn, process 812`). `None` where
/// it cannot be told: it belongs to another user, or is gone.
pub(super) fn of(address: SocketAddr) -> Option<String> {
    let table = if address.is_ipv4() { "/proc/net/udp" } else { "/proc/net/udp6" };
    // An IPv6 socket that also takes IPv4 stands in the other table.
    let tables = [table, "/proc/net/udp6"];
    let inodes: Vec<String> = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|text| inodes(&text, address.port()))
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

/// Inodes of the sockets that a table of the form of proc(5)'s `/proc/net/udp` lists under `port`.
fn inodes(table: &str, port: u16) -> Vec<u64> {
    let inode = |line: &str| {
        let mut columns = line.split_ascii_whitespace();
        let (_, local) = columns.nth(1)?.rsplit_once(':')?;
        let inode = columns.nth(7)?.parse().ok()?;
        (u16::from_str_radix(local, 16) == Ok(port)).then_some(inode)
    };
    table.lines().filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::{inodes, of};
    use std::net::UdpSocket;

    const TABLE: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  371: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 30411 2 0000000000000000 0
  952: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 1827 2 0000000000000000 0
";

    #[test]
    fn the_table_gives_the_inode_of_a_port() {
        assert_eq!(inodes(TABLE, 3478), [30411]);
        assert_eq!(inodes(TABLE, 53), [1827]);
        assert!(inodes(TABLE, 80).is_empty());
    }

    #[test]
    fn this_process_is_found_by_its_port() {
        let socket = UdpSocket::bind("[::1]:0").unwrap();
        let holder = of(socket.local_addr().unwrap()).unwrap();
        assert!(holder.ends_with(&format!("process {}", std::process::id())), "{holder}");
    }
}
