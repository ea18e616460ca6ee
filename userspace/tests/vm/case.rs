//! What the guest is told to test.

use serde_json::Value;

/// What the server's side of a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A NIC of the guest, told by its MAC address, with a peer on the same wire.
    Nic,
    /// A veth pair.
    Veth,
    /// The loopback interface.
    Loopback,
}

/// A way to ask for a rung.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) name: String,
    /// Flags of `xstun serve`.
    pub(crate) flags: Vec<String>,
}

/// One NIC, and the ways in which it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What its addresses are made of.
    pub(crate) number: u8,
    pub(crate) kind: Kind,
    pub(crate) queues: u32,
    pub(crate) asks: Vec<Ask>,
    /// Whether a server on it, asked for `auto`, goes through all of its life.
    pub(crate) thorough: bool,
}

impl Case {
    /// From the list that `cargo xtask vm` wrote.
    pub(crate) fn read(text: &str) -> Vec<Case> {
        let list: Vec<Value> = serde_json::from_str(text).expect("a list of cases");
        list.iter().map(Case::from_told).collect()
    }

    fn from_told(told: &Value) -> Case {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {told}")).to_owned();
        let list = |value: &Value| value.as_array().unwrap_or_else(|| panic!("no list: {told}")).clone();
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("no number: {told}"));
        let ask = |ask: &Value| Ask {
            name: text(&ask["name"]),
            flags: list(&ask["flags"]).iter().map(text).collect(),
        };
        Case {
            name: text(&told["name"]),
            number: number(&told["number"]).try_into().expect("a guest has a handful of NICs"),
            kind: match told["kind"].as_str() {
                Some("nic") => Kind::Nic,
                Some("veth") => Kind::Veth,
                Some("loopback") => Kind::Loopback,
                _ => panic!("no such kind: {told}"),
            },
            queues: number(&told["queues"]).try_into().expect("a NIC has a handful of queues"),
            asks: list(&told["asks"]).iter().map(ask).collect(),
            thorough: told["thorough"] == true,
        }
    }
}
