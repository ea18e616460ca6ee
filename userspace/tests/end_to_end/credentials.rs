//! A server with credentials answers an independent implementation of the RFC and `xstun probe`.

use crate::clients::is_program_installed;
use crate::modes::{GENERIC, Mode, NATIVE, SOCKETS};
use rustix::process::Signal;
use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use xstun_testkit::lab::Lab;
use xstun_testkit::lab::packets::PORT;
use xstun_testkit::lab::server::xstun;

/// The client's side of RFC 8489 §9, with Python's standard modules only. Arguments: server, source,
/// mechanism, name, password. For each reply prints the error code, or whether the mapped address is
/// right; for an authenticated redirection (300) also the alternate server.
const CLIENT: &str = r#"
import base64, hashlib, hmac, os, socket, struct, sys
server, source, mechanism, name, password = sys.argv[1:6]
family = socket.AF_INET6 if ':' in server else socket.AF_INET
link = socket.socket(family, socket.SOCK_DGRAM)
link.settimeout(1)
link.bind((source, 0))
link.connect((server, 3478))

def attribute(kind, value):
    return struct.pack('>HH', kind, len(value)) + value + bytes(-len(value) % 4)

def integrity(head, body, kind, digest, key):
    size = hashlib.new(digest).digest_size
    covered = head[:2] + struct.pack('>H', len(body) + 4 + size) + head[4:] + body
    return attribute(kind, hmac.new(key, covered, digest).digest())

def ask(body, *integrities):
    head = struct.pack('>HHI', 1, 0, 0x2112a442) + os.urandom(12)
    for kind, digest, key in integrities:
        body += integrity(head, body, kind, digest, key)
    for attempt in range(20):
        link.send(head[:2] + struct.pack('>H', len(body)) + head[4:] + body)
        try:
            reply = link.recv(2048)
        except TimeoutError:
            continue
        assert reply[4:20] == head[4:] and len(reply) == 20 + struct.unpack('>H', reply[2:4])[0]
        return reply
    sys.exit('no reply')

def read(reply):
    found, at = {}, 20
    while at < len(reply):
        kind, length = struct.unpack('>HH', reply[at:at + 4])
        found.setdefault(kind, (at, reply[at + 4:at + 4 + length]))
        at += 4 + length + -length % 4
    return found

def code(found):
    return found[9][1][2] * 100 + found[9][1][3]

def report(reply, kind, digest, key):
    found = read(reply)
    redirected = reply[:2] == b'\x01\x11' and code(found) == 300
    if reply[:2] != b'\x01\x01' and not redirected:
        assert 0x08 not in found and 0x1c not in found, 'a refusal is authenticated'
        print(code(found))
        return
    at = found[kind][0]
    assert integrity(reply[:20], reply[20:at], kind, digest, key) == reply[at:], 'the message integrity is wrong'
    if redirected:
        value = found[0x8023][1]
        assert value[1] == (2 if family == socket.AF_INET6 else 1), 'an alternate server of the other address family'
        print('300', socket.inet_ntop(family, value[4:]), struct.unpack('>H', value[2:4])[0])
        return
    value = found[0x20][1]
    port = struct.unpack('>H', value[2:4])[0] ^ 0x2112
    address = bytes(a ^ b for a, b in zip(value[4:], reply[4:20]))
    print('mapped', (socket.inet_ntop(family, address), port) == link.getsockname()[:2])

n, p = name.encode(), password.encode()
if mechanism == 'short':
    both = [(0x08, 'sha1', p), (0x1c, 'sha256', p)]
    report(ask(attribute(0x06, n)), 0x08, 'sha1', p)
    report(ask(attribute(0x06, n), both[0]), *both[0])
    report(ask(attribute(0x06, n), *both), *both[1])
    sys.exit()

found = read(ask(b''))
print(code(found))
realm, nonce, listed = found[0x14][1], found[0x15][1], found[0x8002][1]
features = int.from_bytes(base64.b64decode(nonce[9:13]), 'big')
assert nonce[:9] == b'obMatJos2' and features == 3 and listed == bytes([0, 2, 0, 0])
common = attribute(0x14, realm) + attribute(0x15, nonce)
secret = n + b':' + realm + b':' + p
if mechanism == 'md5':
    key = hashlib.md5(secret).digest()
    report(ask(attribute(0x06, n) + common, (0x08, 'sha1', key)), 0x08, 'sha1', key)
else:
    key = hashlib.sha256(secret).digest()
    hidden = attribute(0x1e, hashlib.sha256(n + b':' + realm).digest())
    chosen = attribute(0x8002, listed) + attribute(0x1d, bytes([0, 2, 0, 0]))
    # A request whose PASSWORD-ALGORITHM was removed on the way is rejected (bid-down).
    report(ask(hidden + common + attribute(0x8002, listed), (0x1c, 'sha256', key)), 0x1c, 'sha256', key)
    report(ask(hidden + common + chosen, (0x1c, 'sha256', key)), 0x1c, 'sha256', key)
"#;

/// Runs the Python client and returns its output as one line.
fn python(lab: &Lab, v6: bool, words: [&str; 3]) -> String {
    let link = lab.link();
    let (server, source) = match v6 {
        true => (link.server_v6.to_string(), link.client_v6.to_string()),
        false => (link.server_v4.to_string(), link.client_v4.to_string()),
    };
    let printed = lab.client.run(&[&["python3", "-c", CLIENT, &server, &source][..], &words].concat());
    printed.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs `xstun probe` with these flags and this password; returns its exit code and output.
fn probe(lab: &Lab, directory: &Path, flags: &[&str], password: &str) -> (Option<i32>, String) {
    let file = directory.join("password");
    write(&file, password).unwrap();
    let (program, file) = (xstun().into_string().unwrap(), file.into_os_string().into_string().unwrap());
    let server = format!("{}:{PORT}", lab.link().server_v4);
    let words = [&[&program, "probe", &server, "--password-file", &file][..], flags].concat();
    let output = lab.client.output(&words);
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&printed).into_owned())
}

fn serves_only_its_users(mode: Mode) {
    if !is_program_installed("python3", "apt-get install python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    write(&users, "# the lab's users\nanna:correct horse\n").unwrap();
    set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    let file = users.to_str().unwrap();

    let lab = Lab::new(1);
    let server = mode.serve(&lab, &["--credentials", file, "--realm", "example.org"]);
    for v6 in [false, true] {
        assert_eq!(python(&lab, v6, ["md5", "anna", "correct horse"]), "401 mapped True", "{mode:?}");
        assert_eq!(python(&lab, v6, ["sha256", "anna", "correct horse"]), "401 400 mapped True", "{mode:?}");
        assert_eq!(python(&lab, v6, ["md5", "anna", "wrong"]), "401 401", "{mode:?}");
        assert_eq!(python(&lab, v6, ["md5", "otto", "correct horse"]), "401 401", "{mode:?}");
    }
    let anna = ["--user", "anna"];
    let (code, printed) = probe(&lab, directory.path(), &anna, "correct horse\n");
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("mapped address"), "{printed}");
    let (code, printed) = probe(&lab, directory.path(), &[&anna[..], &["--fingerprint"]].concat(), "wrong");
    assert_eq!(code, Some(4), "{printed}");
    assert!(printed.contains("error 401 (Unauthenticated)"), "{printed}");

    write(&users, "bert:another\n").unwrap();
    server.signal(Signal::HUP);
    server.wait_for("the new users", |line| line["message"] == "configuration reloaded");
    assert_eq!(python(&lab, false, ["md5", "anna", "correct horse"]), "401 401", "{mode:?}");
    assert_eq!(python(&lab, false, ["md5", "bert", "another"]), "401 mapped True", "{mode:?}");
    write(&users, "bert\n").unwrap();
    server.signal(Signal::HUP);
    let error = server.wait_for("the error", |line| {
        line["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("cannot reload, the configuration is unchanged"))
    });
    assert!(error["message"].as_str().unwrap().contains("line 1"), "{error}");
    assert_eq!(python(&lab, false, ["sha256", "bert", "another"]), "401 400 mapped True", "{mode:?}");

    let counters = server.stop();
    assert!(counters.get(mode.path, "answered") >= 7, "{mode:?}:\n{}", counters.log);
    assert!(counters.get(mode.path, "unauthenticated") >= 16, "{mode:?}:\n{}", counters.log);
    assert!(counters.get(mode.path, "bad_request") >= 3, "{mode:?}:\n{}", counters.log);
    assert_eq!(counters.get(mode.other_path(), "received"), 0, "{mode:?}:\n{}", counters.log);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_users_are_served_in_native_mode() {
    serves_only_its_users(NATIVE);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_users_are_served_in_generic_mode() {
    serves_only_its_users(GENERIC);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_users_are_served_over_sockets() {
    serves_only_its_users(SOCKETS);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn short_term_credentials_are_checked_in_the_first_request() {
    if !is_program_installed("python3", "apt-get install python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    write(&users, "anna:correct horse\n").unwrap();
    set_permissions(&users, Permissions::from_mode(0o604)).unwrap();
    let lab = Lab::new(1);
    let server = NATIVE.serve(&lab, &["--auth", "short-term", "--credentials", users.to_str().unwrap()]);
    server.wait_for("a warning", |line| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|text| text.contains("chmod o-r"))
    });
    for v6 in [false, true] {
        let right = python(&lab, v6, ["short", "anna", "correct horse"]);
        assert_eq!(right, "400 mapped True mapped True");
        assert_eq!(python(&lab, v6, ["short", "anna", "wrong"]), "400 401 401");
    }
    let flags = ["--user", "anna", "--auth", "short-term"];
    let (code, printed) = probe(&lab, directory.path(), &flags, "correct horse");
    assert_eq!(code, Some(0), "{printed}");
    server.stop();
}

/// RFC 8489 §14.8: only users are redirected, by an authenticated reply.
#[test]
#[ignore = "needs root: makes network namespaces"]
fn only_users_are_redirected() {
    if !is_program_installed("python3", "apt-get install python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    write(&users, "anna:correct horse\n").unwrap();
    set_permissions(&users, Permissions::from_mode(0o600)).unwrap();
    let lab = Lab::new(1);
    let file = users.to_str().unwrap();
    let flags = ["--credentials", file, "--realm", "example.org", "--alternate-server", "203.0.113.9:3479"];
    let server = NATIVE.serve(&lab, &[&flags[..], &["--alternate-server", "[2001:db8::9]:3480"]].concat());
    for (v6, alternate) in [(false, "203.0.113.9 3479"), (true, "2001:db8::9 3480")] {
        let right = |mechanism| python(&lab, v6, [mechanism, "anna", "correct horse"]);
        assert_eq!(right("md5"), format!("401 300 {alternate}"));
        assert_eq!(right("sha256"), format!("401 400 300 {alternate}"));
        assert_eq!(python(&lab, v6, ["md5", "anna", "wrong"]), "401 401");
    }
    let (code, printed) = probe(&lab, directory.path(), &["--user", "anna"], "correct horse");
    assert_eq!(code, Some(4), "{printed}");
    assert!(printed.contains("error 300 (Try Alternate)"), "{printed}");
    let counters = server.stop();
    assert_eq!(counters.get("af-xdp", "redirected"), 5, "{}", counters.log);
    assert_eq!(counters.get("af-xdp", "answered"), 0, "{}", counters.log);
    assert_eq!(counters.get("sockets", "received"), 0, "{}", counters.log);
}
