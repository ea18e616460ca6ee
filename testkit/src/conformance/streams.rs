//! The table over TCP and TLS.

use super::*;

/// Whether the bytes are exactly one message by the length field.
fn is_one_message(request: &[u8]) -> bool {
    let length = request.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    length.is_some_and(|length| length + 20 == request.len() && length % 4 == 0)
}

/// Settings of NAT behaviour discovery.
const DISCOVERY_SETTINGS: [Setting; 2] = [Setting::Discovery, Setting::Advertised];

/// The rows of a setting that also apply to streams. Of NAT behaviour discovery, that is a reply with the
/// server's endpoints; requests for what only datagrams can do are rejected.
pub fn stream_rows(setting: Setting) -> Vec<Row> {
    let has_discovery = DISCOVERY_SETTINGS.contains(&setting);
    let is_kept = |row: &Row| {
        let Diverted { address, port, to } = row.diverted;
        let is_diverted = address || port || to.is_some();
        let has_endpoints =
            matches!(row.expected, ExpectedReply::Discovery | ExpectedReply::ClassicDiscovery)
                && !is_diverted;
        row.setting == setting && is_one_message(&row.request) && (has_endpoints || !has_discovery)
    };
    let kept = rows().into_iter().filter(is_kept);
    let further = if has_discovery { rejected(setting) } else { Vec::new() };
    kept.chain(further).collect()
}

/// A reply on a stream cannot be sent from another endpoint or to another port, and is not fragmented.
fn rejected(setting: Setting) -> Vec<Row> {
    let change = |flags: u8| (CHANGE_REQUEST, vec![0, 0, 0, flags]);
    let port = || (RESPONSE_PORT, vec![0x9c, 0x41, 0, 0]);
    let requests = [
        ("change port", vec![change(2)]),
        ("change IP", vec![change(4)]),
        ("change both", vec![change(6)]),
        ("RESPONSE-PORT", vec![port()]),
        ("RESPONSE-PORT of three bytes", vec![(RESPONSE_PORT, vec![0x9c, 0x41, 0])]),
        ("RESPONSE-PORT 0", vec![(RESPONSE_PORT, vec![0; 4])]),
        ("PADDING", vec![(PADDING, Vec::new())]),
        ("RESPONSE-PORT and a change", vec![port(), change(6)]),
        ("an unknown attribute and a change", vec![(0x7ff0, Vec::new()), change(6)]),
    ];
    let row = |rule, attributes: Vec<(u16, Vec<u8>)>| {
        let types: Vec<u8> = attributes.iter().flat_map(|(kind, _)| kind.to_be_bytes()).collect();
        let attributes: Vec<_> = attributes.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        let reply = message(BINDING_ERROR, &[(ERROR_CODE, &[0, 0, 4, 20]), (UNKNOWN_ATTRIBUTES, &types)]);
        let request = message(BINDING_REQUEST, &attributes);
        Row {
            section: "RFC 8489 §6.3.1",
            rule,
            setting,
            request,
            outcome: Outcome::UnknownAttribute,
            expected: ExpectedReply::Bytes(reply),
            diverted: Diverted::default(),
        }
    };
    requests.into_iter().map(|(rule, attributes)| row(rule, attributes)).collect()
}

/// The row as it applies to TLS. The TLS port is none of the four endpoints. Users are not redirected: by RFC
/// 8489 §10 a client keeps its transport, and the port of the alternate server is for UDP and TCP.
pub fn tls_row(row: Row) -> Row {
    let row = match row.expected {
        ExpectedReply::Discovery => Row { expected: ExpectedReply::Address, ..row },
        ExpectedReply::ClassicDiscovery => Row { expected: ExpectedReply::ClassicAddress, ..row },
        _ => row,
    };
    match row.outcome {
        Outcome::Redirected => {
            Row { outcome: Outcome::Answered, expected: ExpectedReply::Authenticated, ..row }
        }
        _ => row,
    }
}
