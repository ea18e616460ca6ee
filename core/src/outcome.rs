//! Every way a datagram can end, once.

/// How one datagram ended. Each is counted exactly once, under [`Outcome::name`], which is also its
/// metric label.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Binding success response (RFC 8489 §6.3.1.1).
    Answered,
    /// Success response to a request without magic cookie (RFC 8489 §11, RFC 3489).
    AnsweredClassic,
    /// Error response 420 that names the unknown comprehension-required attributes (RFC 8489 §6.3.1).
    UnknownAttribute,
    /// Error response 400: attributes that must be there are missing or contradict each other (RFC 8489
    /// §9.1.3, §9.2.4, RFC 5780 §6.1), or the reply would go to port 0.
    BadRequest,
    /// Error response 401: the sender proves no credential (RFC 8489 §9.1.3, §9.2.4).
    Unauthenticated,
    /// Error response 438: the credential is proven, the nonce of another time or client (RFC 8489 §9.2.4).
    StaleNonce,
    /// Error response 300 that names another server (RFC 8489 §10).
    Redirected,
    /// Shorter than a STUN header, or its two top bits are not zero.
    NotStun,
    /// The length field is no multiple of four, or is not the datagram's length less 20.
    BadLength,
    /// No magic cookie, and classic requests are not served.
    NoCookie,
    /// A method other than Binding.
    OtherMethod,
    /// A Binding indication: nothing is owed.
    Indication,
    /// A response: never answered, or two servers could be set upon each other.
    Response,
    /// An attribute runs over the end of the message, or has a length its type forbids.
    BadAttribute,
    /// A FINGERPRINT that is wrong or not the last attribute (RFC 8489 §14.7).
    BadFingerprint,
    /// The transaction ID is all zero, and such requests are not served.
    ZeroTransaction,
    /// The frame does not parse as a datagram for us, though the XDP program redirected it.
    BadFrame,
    /// The Ethernet source is a group address.
    GroupSourceMac,
    /// The IPv4 header checksum is wrong.
    BadIpChecksum,
    /// The UDP checksum is wrong.
    BadUdpChecksum,
    /// No UDP checksum over IPv6 (RFC 8200 §8.1).
    NoUdpChecksum,
    /// Source port 0: nobody can receive the reply.
    SourcePortZero,
    /// The source address is multicast, broadcast, loopback, unspecified or our own.
    BadSource,
    /// The destination is not served here, as the worker's own table says.
    NotServed,
    /// The reply was ready, but the transmit ring or the socket's buffer was full.
    TransmitFull,
    /// The kernel refused to send the reply.
    TransmitFailed,
    /// The buffer has no room for a reply: a fault of the caller.
    NoRoom,
}

impl Outcome {
    /// Every outcome, in the order of [`Outcome::index`].
    pub const ALL: [Outcome; 27] = [
        Outcome::Answered,
        Outcome::AnsweredClassic,
        Outcome::UnknownAttribute,
        Outcome::BadRequest,
        Outcome::Unauthenticated,
        Outcome::StaleNonce,
        Outcome::Redirected,
        Outcome::NotStun,
        Outcome::BadLength,
        Outcome::NoCookie,
        Outcome::OtherMethod,
        Outcome::Indication,
        Outcome::Response,
        Outcome::BadAttribute,
        Outcome::BadFingerprint,
        Outcome::ZeroTransaction,
        Outcome::BadFrame,
        Outcome::GroupSourceMac,
        Outcome::BadIpChecksum,
        Outcome::BadUdpChecksum,
        Outcome::NoUdpChecksum,
        Outcome::SourcePortZero,
        Outcome::BadSource,
        Outcome::NotServed,
        Outcome::TransmitFull,
        Outcome::TransmitFailed,
        Outcome::NoRoom,
    ];

    /// Number of outcomes.
    pub const COUNT: usize = Self::ALL.len();

    /// Index of the outcome's counter.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Metric label.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::AnsweredClassic => "answered_classic",
            Outcome::UnknownAttribute => "unknown_attribute",
            Outcome::BadRequest => "bad_request",
            Outcome::Unauthenticated => "unauthenticated",
            Outcome::StaleNonce => "stale_nonce",
            Outcome::Redirected => "redirected",
            Outcome::NotStun => "not_stun",
            Outcome::BadLength => "bad_length",
            Outcome::NoCookie => "no_cookie",
            Outcome::OtherMethod => "other_method",
            Outcome::Indication => "indication",
            Outcome::Response => "response",
            Outcome::BadAttribute => "bad_attribute",
            Outcome::BadFingerprint => "bad_fingerprint",
            Outcome::ZeroTransaction => "zero_transaction",
            Outcome::BadFrame => "bad_frame",
            Outcome::GroupSourceMac => "group_source_mac",
            Outcome::BadIpChecksum => "bad_ip_checksum",
            Outcome::BadUdpChecksum => "bad_udp_checksum",
            Outcome::NoUdpChecksum => "no_udp_checksum",
            Outcome::SourcePortZero => "source_port_zero",
            Outcome::BadSource => "bad_source",
            Outcome::NotServed => "not_served",
            Outcome::TransmitFull => "transmit_full",
            Outcome::TransmitFailed => "transmit_failed",
            Outcome::NoRoom => "no_room",
        }
    }

    /// What an operator should read from it.
    pub const fn help(self) -> &'static str {
        match self {
            Outcome::Answered => "Binding requests answered with the client's address.",
            Outcome::AnsweredClassic => "Requests without magic cookie (RFC 3489) answered.",
            Outcome::UnknownAttribute => {
                "Requests answered with 420: an attribute must be understood and is not."
            }
            Outcome::BadRequest => {
                "Requests answered with 400: what they say or ask for does not go together."
            }
            Outcome::Unauthenticated => "Requests answered with 401: no credential, or a wrong one.",
            Outcome::StaleNonce => "Requests answered with 438: the nonce was of another time or client.",
            Outcome::Redirected => "Requests answered with 300: another server was named.",
            Outcome::NotStun => "Datagrams that are no STUN message.",
            Outcome::BadLength => "Messages whose length field is not the datagram's.",
            Outcome::NoCookie => "Requests without magic cookie while classic requests are switched off.",
            Outcome::OtherMethod => "Messages of another method than Binding (a TURN client, or a scanner).",
            Outcome::Indication => "Binding indications (keep-alives): no reply is owed.",
            Outcome::Response => "STUN responses sent to the server: spoofed traffic, or a loop prevented.",
            Outcome::BadAttribute => {
                "Messages with an attribute that overruns them or has a forbidden length."
            }
            Outcome::BadFingerprint => "Messages with a wrong or misplaced FINGERPRINT.",
            Outcome::ZeroTransaction => {
                "Requests with a transaction ID of zeros, dropped as the operator wants."
            }
            Outcome::BadFrame => "Frames redirected to the worker that are no datagram for it.",
            Outcome::GroupSourceMac => "Frames from a group hardware address.",
            Outcome::BadIpChecksum => "Frames with a wrong IPv4 header checksum.",
            Outcome::BadUdpChecksum => "Datagrams with a wrong UDP checksum.",
            Outcome::NoUdpChecksum => "IPv6 datagrams without UDP checksum.",
            Outcome::SourcePortZero => "Datagrams from port 0.",
            Outcome::BadSource => "Datagrams from an address that cannot be a client's: spoofed.",
            Outcome::NotServed => "Datagrams for an address that the worker does not serve (any more).",
            Outcome::TransmitFull => "Replies dropped because the transmit ring or socket buffer was full.",
            Outcome::TransmitFailed => "Replies that the kernel refused to send.",
            Outcome::NoRoom => "Replies that found no room in their buffer: a fault of this program.",
        }
    }

    /// Whether a reply leaves.
    pub const fn is_reply(self) -> bool {
        matches!(
            self,
            Outcome::Answered
                | Outcome::AnsweredClassic
                | Outcome::UnknownAttribute
                | Outcome::BadRequest
                | Outcome::Unauthenticated
                | Outcome::StaleNonce
                | Outcome::Redirected
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;
    use std::collections::HashSet;

    #[test]
    fn each_outcome_stands_at_its_index_under_a_name_of_its_own() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), index, "{outcome:?}");
        }
        let names: HashSet<_> = Outcome::ALL.into_iter().map(Outcome::name).collect();
        assert_eq!(names.len(), Outcome::COUNT);
    }
}
