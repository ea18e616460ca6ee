//! Netlink attributes: sequences of length, type and value.

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, NlasIterator};
use std::net::IpAddr;

/// Returns type and value of each attribute in `bytes`, up to the first malformed one. Unknown types of a newer
/// kernel do no harm.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes)
        .map_while(Result::ok)
        .map(|attribute| {
            let kind = attribute.kind();
            let length = attribute.value_length();
            (kind, attribute.into_inner(), length)
        })
        .filter_map(|(kind, whole, length)| Some((kind, whole.get(4..4 + length)?)))
}

/// Returns the value of the first attribute of this type.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Reads a number of one, two, four or eight bytes in host order.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    Some(match *value {
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u64::from(u32::from_ne_bytes([a, b, c, d])),
        _ => u64::from_ne_bytes(value.try_into().ok()?),
    })
}

/// Reads a number that fits 32 bits.
pub(super) fn number32(value: &[u8]) -> Option<u32> {
    number(value).and_then(|number| u32::try_from(number).ok())
}

/// Reads an IPv4 or IPv6 address.
pub(super) fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => <[u8; 4]>::try_from(value).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(value).ok().map(IpAddr::from),
    }
}

/// Reads text up to its closing NUL.
pub(super) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// The attributes of a request, in the order in which they are added.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// Adds a 32-bit number.
    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.push(DefaultNla::new(kind, value.to_ne_bytes().to_vec()))
    }

    /// Adds bytes unchanged.
    pub(super) fn bytes(self, kind: u16, value: Vec<u8>) -> Self {
        self.push(DefaultNla::new(kind, value))
    }

    /// Adds text with its closing NUL.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.push(DefaultNla::new(kind, [value.as_bytes(), &[0]].concat()))
    }

    /// Adds an attribute that contains others.
    pub(super) fn nested(self, kind: u16, inner: Attributes) -> Self {
        self.push(DefaultNla::new(kind | NLA_F_NESTED, inner.0))
    }

    /// Returns the bytes, for a request's body.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn push(mut self, attribute: DefaultNla) -> Self {
        let start = self.0.len();
        self.0.resize(start + attribute.buffer_len(), 0);
        attribute.emit(&mut self.0[start..]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Attributes, attribute, attributes, number, text};

    #[test]
    fn what_is_written_is_read_back() {
        let bytes = Attributes::default()
            .number(7, 0xdead_beef)
            .nested(1, Attributes::default().text(2, "eth0").number(3, 4))
            .into_bytes();
        assert_eq!(attribute(&bytes, 7).and_then(number), Some(0xdead_beef));
        let nested = attribute(&bytes, 1).unwrap();
        assert_eq!(attribute(nested, 2).map(text).as_deref(), Some("eth0"));
        assert_eq!(attribute(nested, 3).and_then(number), Some(4));
        assert_eq!(attribute(&bytes, 2), None);
    }

    #[test]
    fn reading_ends_at_the_first_malformed_attribute() {
        let mut bytes = Attributes::default().number(1, 5).into_bytes();
        bytes.extend_from_slice(&200u16.to_ne_bytes());
        bytes.extend_from_slice(&[2, 0, 1, 1]);
        assert_eq!(attributes(&bytes).map(|(kind, _)| kind).collect::<Vec<_>>(), [1]);
        for end in 0..bytes.len() {
            assert!(attributes(&bytes[..end]).count() <= 1);
        }
    }

    #[test]
    fn a_number_has_one_two_four_or_eight_bytes() {
        assert_eq!(number(&[9]), Some(9));
        assert_eq!(number(&300u16.to_ne_bytes()), Some(300));
        assert_eq!(number(&u64::MAX.to_ne_bytes()), Some(u64::MAX));
        assert_eq!(number(&[]), None);
        assert_eq!(number(&[1, 2, 3]), None);
    }
}
