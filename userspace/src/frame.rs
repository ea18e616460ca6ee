//! Ethernet, IP and UDP: headers checked on the way in and turned around on the way out. Knows no STUN.
