//! Every way in which a datagram can end.

use crate::enumeration;

enumeration! {
    /// How one datagram ended. Each datagram is counted exactly once, under [`Outcome::name`].
    pub enum Outcome {
        /// Binding success response (RFC 8489 §6.3.1.1).
        Answered = (
            "answered",
            "Binding requests answered with the client's address.",
            true,
        ),
        /// Success response to a request without magic cookie (RFC 8489 §11, RFC 3489).
        AnsweredClassic = (
            "answered_classic",
            "Requests without magic cookie (RFC 3489) answered.",
            true,
        ),
        /// Error response 420 that names the unknown comprehension-required attributes (RFC 8489 §6.3.1).
        UnknownAttribute = (
            "unknown_attribute",
            "Requests answered with 420: an attribute must be understood and is not.",
            true,
        ),
        /// Error response 400: attributes that must be there are missing or contradict each other (RFC 8489
        /// §9.1.3, §9.2.4, RFC 5780 §6.1), or the reply would go to port 0.
        BadRequest = (
            "bad_request",
            "Requests answered with 400: what they say or ask for does not go together.",
            true,
        ),
        /// Error response 401: the sender proves no credential (RFC 8489 §9.1.3, §9.2.4).
        Unauthenticated = (
            "unauthenticated",
            "Requests answered with 401: no credential, or a wrong one.",
            true,
        ),
        /// Error response 438: the credential is proven, the nonce of another time or client (RFC 8489 §9.2.4).
        StaleNonce = (
            "stale_nonce",
            "Requests answered with 438: the nonce was of another time or client.",
            true,
        ),
        /// Error response 300 that names another server (RFC 8489 §10).
        Redirected = (
            "redirected",
            "Requests answered with 300: another server was named.",
            true,
        ),
        /// Shorter than a STUN header, or its two top bits are not zero.
        NotStun = (
            "not_stun",
            "Datagrams that are no STUN message.",
            false,
        ),
        /// The length field is no multiple of four, or is not the datagram's length less 20.
        BadLength = (
            "bad_length",
            "Messages whose length field is not the datagram's.",
            false,
        ),
        /// No magic cookie, and classic requests are not served.
        NoCookie = (
            "no_cookie",
            "Requests without magic cookie while classic requests are switched off.",
            false,
        ),
        /// A method other than Binding.
        OtherMethod = (
            "other_method",
            "Messages of another method than Binding (a TURN client, or a scanner).",
            false,
        ),
        /// A Binding indication: nothing is owed.
        Indication = (
            "indication",
            "Binding indications (keep-alives): no reply is owed.",
            false,
        ),
        /// A response: never answered, or two servers could be set upon each other.
        Response = (
            "response",
            "STUN responses sent to the server: spoofed traffic, or a loop prevented.",
            false,
        ),
        /// An attribute runs over the end of the message, or has a length its type forbids.
        BadAttribute = (
            "bad_attribute",
            "Messages with an attribute that overruns them or has a forbidden length.",
            false,
        ),
        /// A FINGERPRINT that is wrong or not the last attribute (RFC 8489 §14.7).
        BadFingerprint = (
            "bad_fingerprint",
            "Messages with a wrong or misplaced FINGERPRINT.",
            false,
        ),
        /// The transaction ID is all zero, and such requests are not served.
        ZeroTransaction = (
            "zero_transaction",
            "Requests with a transaction ID of zeros, dropped as the operator wants.",
            false,
        ),
        /// The frame does not parse as a datagram for us, though the XDP program redirected it.
        BadFrame = (
            "bad_frame",
            "Frames redirected to the worker that are no datagram for it.",
            false,
        ),
        /// The Ethernet source is a group address.
        GroupSourceMac = (
            "group_source_mac",
            "Frames from a group hardware address.",
            false,
        ),
        /// The IPv4 header checksum is wrong.
        BadIpChecksum = (
            "bad_ip_checksum",
            "Frames with a wrong IPv4 header checksum.",
            false,
        ),
        /// The UDP checksum is wrong.
        BadUdpChecksum = (
            "bad_udp_checksum",
            "Datagrams with a wrong UDP checksum.",
            false,
        ),
        /// No UDP checksum over IPv6 (RFC 8200 §8.1).
        NoUdpChecksum = (
            "no_udp_checksum",
            "IPv6 datagrams without UDP checksum.",
            false,
        ),
        /// Source port 0: nobody can receive the reply.
        SourcePortZero = (
            "source_port_zero",
            "Datagrams from port 0.",
            false,
        ),
        /// The source address is multicast, broadcast, loopback, unspecified or our own.
        BadSource = (
            "bad_source",
            "Datagrams from an address that cannot be a client's: spoofed.",
            false,
        ),
        /// The destination is not served here, as the worker's own table says.
        NotServed = (
            "not_served",
            "Datagrams for an address that the worker does not serve (any more).",
            false,
        ),
        /// The reply was ready, but the transmit ring or the socket's buffer was full.
        TransmitFull = (
            "transmit_full",
            "Replies dropped because the transmit ring or socket buffer was full.",
            false,
        ),
        /// The kernel refused to send the reply.
        TransmitFailed = (
            "transmit_failed",
            "Replies that the kernel refused to send.",
            false,
        ),
        /// The buffer has no room for a reply: a fault of the caller.
        NoRoom = (
            "no_room",
            "Replies that found no room in their buffer: a fault of this program.",
            false,
        ),
    }
    columns {
        /// Metric label.
        name: &'static str,
        /// What the outcome means, for an operator.
        help: &'static str,
        /// Whether a reply leaves.
        is_reply: bool,
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
