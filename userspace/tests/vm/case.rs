//! The cases that `cargo xtask vm` gives to the guest.

use serde_json::Value;

/// The kind of interface that the server serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A NIC of the guest, identified by its MAC address, with a peer on the same wire.
    Nic,
    /// A veth pair.
    Veth,
    /// The loopback interface.
    Loopback,
}

/// A mode that the server is started in.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    /// Flags of `xstun serve`.
    pub(crate) flags: Vec<String>,
    /// Whether the driver is known to lose frames of full size in this mode.
    pub(crate) faulty: bool,
}

/// One NIC, and the modes in which it is served.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// The number from which its addresses are derived.
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) queues: u32,
    pub(crate) asks: Vec<Ask>,
    /// Whether the checks of `life` run in the mode `auto`.
    pub(crate) thorough: bool,
}

impl Case {
    /// Parses the list that `cargo xtask vm` writes.
    pub(crate) fn read(text: &str) -> Vec<Case> {
        let list: Vec<Value> = serde_json::from_str(text).expect("a list of cases");
        list.iter().map(Case::from_json).collect()
    }

    fn from_json(json: &Value) -> Case {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {json}")).to_owned();
        let list = |value: &Value| value.as_array().unwrap_or_else(|| panic!("no list: {json}")).clone();
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {json}"));
        let ask = |ask: &Value| Ask {
            name: text(&ask["name"]),
            flags: list(&ask["flags"]).iter().map(text).collect(),
            faulty: ask["faulty"] == true,
        };
        Case {
            name: text(&json["name"]),
            number: number(&json["number"]).try_into().expect("a guest has a handful of NICs"),
            kind: match json["kind"].as_str() {
                Some("nic") => Kind::Nic,
                Some("veth") => Kind::Veth,
                Some("loopback") => Kind::Loopback,
                _ => panic!("unknown kind: {json}"),
            },
            queues: number(&json["queues"]).try_into().expect("a NIC has a handful of queues"),
            asks: list(&json["asks"]).iter().map(ask).collect(),
            thorough: json["thorough"] == true,
        }
    }
}
