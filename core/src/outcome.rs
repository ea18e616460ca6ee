//! Every way in which a datagram can end.

use crate::enumeration;

enumeration! {
    /// How one datagram ended. Each datagram is counted exactly once, under [`Outcome::name`].
    pub enum Outcome {
        /// Binding success response (RFC 8489 §6.3.1.1).
        Answered = ("answered", true, "Binding requests answered with the client's address."),
        /// Success response to a request without magic cookie (RFC 8489 §11, RFC 3489).
        AnsweredClassic = ("answered_classic", true, "Requests without magic cookie (RFC 3489) answered."),
        /// Error response 420 that lists the unknown comprehension-required attributes (RFC 8489 §6.3.1).
        UnknownAttribute =
            ("unknown_attribute", true, "Requests answered with 420: an unknown attribute that must be understood."),
        /// Error response 400: required attributes are missing, attributes contradict each other (RFC 8489
        /// §9.1.3, §9.2.4, RFC 5780 §6.1), or the reply would go to port 0.
        BadRequest =
            ("bad_request", true, "Requests answered with 400: attributes are missing or contradict each other."),
        /// Error response 401: the request proves no credential (RFC 8489 §9.1.3, §9.2.4).
        Unauthenticated =
            ("unauthenticated", true, "Requests answered with 401: no credential, or a wrong one."),
        /// Error response 438: the credential is proven, but the nonce has expired or is another client's
        /// (RFC 8489 §9.2.4).
        StaleNonce =
            ("stale_nonce", true, "Requests answered with 438: the nonce has expired or is another client's."),
        /// Error response 300 that names another server (RFC 8489 §10).
        Redirected = ("redirected", true, "Requests answered with 300: redirected to another server."),
        /// Shorter than a STUN header, or its two top bits are not zero.
        NotStun = ("not_stun", false, "Datagrams that are not STUN messages."),
        /// The length field is not a multiple of four, or not the datagram's length less 20.
        BadLength = ("bad_length", false, "Messages whose length field contradicts the datagram's length."),
        /// No magic cookie, and classic requests are not served.
        NoCookie = ("no_cookie", false, "Requests without magic cookie while classic requests are off."),
        /// A method other than Binding.
        OtherMethod =
            ("other_method", false, "Messages of another method than Binding (a TURN client, or a scanner)."),
        /// A Binding indication, which has no reply.
        Indication = ("indication", false, "Binding indications (keep-alives), which have no reply."),
        /// A response: never answered, or two servers could be made to answer each other.
        Response =
            ("response", false, "STUN responses sent to the server: spoofed traffic, or a prevented loop."),
        /// An attribute that exceeds the message, or has a length that its type forbids.
        BadAttribute =
            ("bad_attribute", false, "Messages with an attribute that exceeds them or has a forbidden length."),
        /// A FINGERPRINT that is wrong or not the last attribute (RFC 8489 §14.7).
        BadFingerprint = ("bad_fingerprint", false, "Messages with a wrong or misplaced FINGERPRINT."),
        /// The transaction ID is all zero, and such requests are not served.
        ZeroTransaction =
            ("zero_transaction", false, "Requests with an all-zero transaction ID, dropped by configuration."),
        /// The frame does not parse as a datagram for us, although the XDP program redirected it.
        BadFrame = ("bad_frame", false, "Redirected frames that are no datagram for the worker."),
        /// The Ethernet source is a group address.
        GroupSourceMac = ("group_source_mac", false, "Frames from a group hardware address."),
        /// The IPv4 header checksum is wrong.
        BadIpChecksum = ("bad_ip_checksum", false, "Frames with a wrong IPv4 header checksum."),
        /// The UDP checksum is wrong.
        BadUdpChecksum = ("bad_udp_checksum", false, "Datagrams with a wrong UDP checksum."),
        /// No UDP checksum over IPv6 (RFC 8200 §8.1).
        NoUdpChecksum = ("no_udp_checksum", false, "IPv6 datagrams without UDP checksum."),
        /// Source port 0, at which nobody can receive a reply.
        SourcePortZero = ("source_port_zero", false, "Datagrams from port 0."),
        /// The source address is multicast, broadcast, loopback, unspecified or our own.
        BadSource = ("bad_source", false, "Datagrams from an address that cannot be a client's: spoofed."),
        /// The endpoint is not, or no longer, served.
        NotServed =
            ("not_served", false, "Datagrams to an address that the worker does not serve (any more)."),
        /// The reply was ready, but the transmit ring or the socket's buffer was full.
        TransmitFull =
            ("transmit_full", false, "Replies dropped because the transmit ring or the socket buffer was full."),
        /// The kernel refused to send the reply.
        TransmitFailed = ("transmit_failed", false, "Replies that the kernel refused to send."),
        /// The buffer has no room for a reply: a fault of the caller.
        NoRoom = ("no_room", false, "Replies that did not fit their buffer: a fault of this program."),
    }
    columns {
        /// Metric label.
        name: &'static str,
        /// Whether a reply leaves.
        is_reply: bool,
        /// What the outcome means, for an operator.
        help: &'static str,
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
