//! Facts from procfs: capabilities, sockets, and the processes that hold them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Returns the bits of the effective capabilities from the text of `/proc/self/status`.
pub(super) fn effective_capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Returns the selected value of a file like `none [integrity] confidentiality`.
pub(super) fn selected(text: &str) -> Option<&str> {
    Some(text.split_once('[')?.1.split_once(']')?.0)
}

/// A bound UDP socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BoundUdpSocket {
    /// The address and port that it is bound to.
    pub(super) address: SocketAddr,
    /// The socket's inode number.
    pub(super) inode: u64,
}

/// Returns the sockets bound to `port` from the text of `/proc/net/udp` or `/proc/net/udp6`.
pub(super) fn bound_to(port: u16, table: &str) -> Vec<BoundUdpSocket> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let address = socket_address(fields.nth(1)?)?;
            let inode = fields.nth(7)?.parse().ok()?;
            (address.port() == port).then_some(BoundUdpSocket { address, inode })
        })
        .collect()
}

/// Parses `0100007F:0D96`: 32-bit words in host order, as the kernel prints them.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip: IpAddr = match words.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut address = [0; 16];
            for (at, bytes) in address.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(8 * at)?);
            }
            Ipv6Addr::from(address).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// A running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunningProcess {
    /// Its process ID.
    pub(super) pid: u32,
    /// Its name (comm).
    pub(super) name: String,
}

impl std::fmt::Display for RunningProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// Returns a process that has the socket open; `None` if this process may not see it.
pub(super) fn holder_of_socket(inode: u64) -> Option<RunningProcess> {
    let socket = format!("socket:[{inode}]");
    holder(|target, _| target == socket)
}

/// Returns a process that holds the BPF program with this ID, directly or by a link; `None` if there is
/// none, or if this process may not see it.
pub(super) fn holder_of_program(id: u32) -> Option<RunningProcess> {
    holder(|target, fdinfo| {
        target.starts_with("anon_inode:bpf")
            && fs::read_to_string(fdinfo).is_ok_and(|text| names_program(&text, id))
    })
}

/// Whether the text of a file in `/proc/PID/fdinfo` names the BPF program with this ID.
fn names_program(fdinfo: &str, id: u32) -> bool {
    fdinfo
        .lines()
        .filter_map(|line| line.strip_prefix("prog_id:"))
        .any(|number| number.trim().parse() == Ok(id))
}

/// Returns the first process with an open file that `matches`. That function takes the target of the link
/// in `/proc/PID/fd`, and the path of the file in `/proc/PID/fdinfo`.
fn holder(matches: impl Fn(&str, &Path) -> bool) -> Option<RunningProcess> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let process = entry.path();
        let holds = fs::read_dir(process.join("fd")).ok()?.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            matches(&target.to_string_lossy(), &process.join("fdinfo").join(file.file_name()))
        });
        let name = || fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned();
        holds.then(|| RunningProcess { pid, name: name() })
    })
}

#[cfg(test)]
mod tests {
    use super::{bound_to, effective_capabilities, holder_of_socket, names_program, selected};
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    #[test]
    fn capabilities_and_selected_values_are_parsed() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n";
        assert_eq!(effective_capabilities(status), Some(0x1ff_ffff_ffff));
        assert_eq!(effective_capabilities("Name:\tx\n"), None);
        assert_eq!(selected("none [integrity] confidentiality\n"), Some("integrity"));
        assert_eq!(selected("none"), None);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn udp_tables_are_parsed() {
        let v4 = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
                  1234: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 17042 2 0000000000000000 0\n \
                  1240: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 17043 2 0000000000000000 0\n";
        let found = bound_to(3478, v4);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].address, found[0].inode), ("127.0.0.1:3478".parse().unwrap(), 17042));
        let v6 = "  10: B80D0120000000000000000001000000:0D96 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 0\n";
        assert_eq!(bound_to(3478, v6)[0].address, "[2001:db8::1]:3478".parse().unwrap());
        assert_eq!(bound_to(3478, "\n1: 00:1 x\n 1: ZZ00007F:0D96 a b c d e f g h\n"), []);
    }

    #[test]
    fn a_socket_leads_to_its_process() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = std::fs::read_link(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap();
        let inode = link.to_str().unwrap().trim_start_matches("socket:[").trim_end_matches(']');
        assert_eq!(holder_of_socket(inode.parse().unwrap()).unwrap().pid, std::process::id());
        let table = std::fs::read_to_string("/proc/self/net/udp").unwrap();
        let bound = bound_to(socket.local_addr().unwrap().port(), &table);
        assert!(bound.iter().any(|bound| bound.inode.to_string() == inode));
    }

    #[test]
    fn the_fdinfo_of_a_link_names_its_program() {
        let link = "pos:\t0\nlink_type:\txdp\nlink_id:\t7\nprog_tag:\tabc\nprog_id:\t42\nifindex:\t3\n";
        assert!(names_program(link, 42));
        assert!(!names_program(link, 4));
    }
}
