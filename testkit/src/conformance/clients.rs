//! The requests of real clients, byte for byte.

use super::*;

const SECTION: &str = "RFC 8489 §6.3.1.1";
const CLASSIC_SECTION: &str = "RFC 8489 §11";

pub(super) fn rows() -> Vec<Row> {
    [with_cookie(), without_cookie(), discovering()].into_iter().flatten().collect()
}

fn with_cookie() -> Vec<Row> {
    let fingerprinted =
        |client, bytes: &str| row(SECTION, client, hex(bytes), Outcome::Answered, address_and_fingerprint());
    let ice = [
        (USERNAME, &b"peer:me"[..]),
        (0x0024, &[0x6e, 0, 1, 0xff]),
        (0x8029, &[0x93, 0x2f, 0xf9, 0xb1, 0x51, 0x26, 0x3b, 0x36]),
        (MESSAGE_INTEGRITY, &[0x5a; 20]),
    ];
    vec![
        answered(
            SECTION,
            "libwebrtc, libnice, pion, aioice",
            hex("00010000 2112a442 b7e7a701bc34d686fa87dfae"),
        ),
        fingerprinted(
            "Firefox: only FINGERPRINT",
            "00010008 2112a442 b7e7a701bc34d686fa87dfae 80280004 fdf6ae02",
        ),
        fingerprinted(
            "Tailscale",
            "00010014 2112a442 b7e7a701bc34d686fa87dfae 80220008 7461696c6e6f6465 80280004 9e8df0ce",
        ),
        fingerprinted(
            "libjuice",
            "00010014 2112a442 b7e7a701bc34d686fa87dfae 80220008 6c69626a75696365 80280004 2b6fabbf",
        ),
        answered(SECTION, "ice4j", request(&[(SOFTWARE, b"ice4j.org")])),
        answered(SECTION, "PJSIP", request(&[(SOFTWARE, b"pjnath-2.14.1")])),
        answered(
            SECTION,
            "stuntman's client: CHANGE-REQUEST without flags",
            hex("00010008 2112a442 b7e7a701bc34d686fa87dfae 00030004 00000000"),
        ),
        answered(
            SECTION,
            "nmap, Shadowserver: transaction ID 0",
            hex("00010000 2112a442 000000000000000000000000"),
        ),
        row(
            SECTION,
            "an ICE connectivity check sent to the wrong host",
            super::fingerprinted(request(&ice)),
            Outcome::Answered,
            address_and_fingerprint(),
        ),
    ]
}

fn without_cookie() -> Vec<Row> {
    let tr111 = classic(
        BINDING_REQUEST,
        &[
            (0xc001, b"dslforum.org/TR-111 "),
            (0xc002, &[]),
            (USERNAME, b"00D09E-0123456789\0\0\0"),
            (CHANGE_REQUEST, &[0; 4]),
            (RESPONSE_ADDRESS, &[0, 1, 0x0d, 0x96, 203, 0, 113, 9]),
        ],
    );
    vec![
        answered_classic(
            CLASSIC_SECTION,
            "libnice in its old modes, Debian's stun: no attributes",
            hex("00010000 deadbeef b7e7a701bc34d686fa87dfae"),
        ),
        answered_classic(
            CLASSIC_SECTION,
            "pystun3, node-stun, stunc: CHANGE-REQUEST without flags",
            hex("00010008 deadbeef b7e7a701bc34d686fa87dfae 00030004 00000000"),
        ),
        answered_classic(CLASSIC_SECTION, "a TR-111 device", tr111),
    ]
}

/// With RFC 5780 off, both of coturn's requests are rejected.
fn discovering() -> Vec<Row> {
    vec![
        rejected(
            "RFC 5780 §7.2, §7.5",
            "turnutils_stunclient -f, first request",
            request(&[(RESPONSE_PORT, &[0x9c, 0x41, 0, 0]), (CHANGE_REQUEST, &[0, 0, 0, 6])]),
            &[RESPONSE_PORT, CHANGE_REQUEST],
        ),
        rejected_with_reason(
            "RFC 5780 §7.2, §7.6",
            "turnutils_stunclient -f, second request: 1532 bytes",
            request(&[(CHANGE_REQUEST, &[0, 0, 0, 6]), (PADDING, &[0; 1500])]),
            &[CHANGE_REQUEST, PADDING],
        ),
    ]
}
