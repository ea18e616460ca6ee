//! The table over TCP and TLS.

use super::*;

/// Whether the bytes are one message by their own length field.
fn is_one_message(request: &[u8]) -> bool {
    let length = request.get(2..4).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    length.is_some_and(|length| length + 20 == request.len() && length % 4 == 0)
}

/// Settings of NAT behaviour discovery.
const DISCOVERS: [Setting; 2] = [Setting::Discovery, Setting::Advertised];

/// The rules of a setting that are ones of streams too. Of NAT behaviour discovery these are the addresses
/// that it tells; what it does for datagrams is rejected.
pub fn of_streams(setting: Setting) -> Vec<Row> {
    let discovers = DISCOVERS.contains(&setting);
    let is_kept = |row: &Row| {
        let Diverted { address, port, to } = row.diverted;
        let is_diverted = address || port || to.is_some();
        let tells = matches!(row.owed, Owed::Discovery | Owed::ClassicDiscovery) && !is_diverted;
        row.setting == setting && is_one_message(&row.request) && (tells || !discovers)
    };
    let kept = rows().into_iter().filter(is_kept);
    let further = if discovers { rejected(setting) } else { Vec::new() };
    kept.chain(further).collect()
}

/// A stream has no other endpoint to send from, no other port to send to, and no fragments.
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
            owed: Owed::Bytes(reply),
            diverted: Diverted::default(),
        }
    };
    requests.into_iter().map(|(rule, attributes)| row(rule, attributes)).collect()
}

/// What the row is under TLS. Its port is none of the four endpoints; and nobody is sent elsewhere there: RFC
/// 8489 §10 has a client keep its transport, and the port that the operator names is one for UDP and TCP.
pub fn under_tls(row: Row) -> Row {
    let row = match row.owed {
        Owed::Discovery => Row { owed: Owed::Address, ..row },
        Owed::ClassicDiscovery => Row { owed: Owed::ClassicAddress, ..row },
        _ => row,
    };
    match row.outcome {
        Outcome::Redirected => Row { outcome: Outcome::Answered, owed: Owed::Sealed, ..row },
        _ => row,
    }
}
