use super::{KernelTypes, MAGIC, Place, kind};

/// Writes BTF: each method adds a type and returns its number.
#[derive(Default)]
pub(in super::super) struct BtfWriter {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl BtfWriter {
    fn add(&mut self, name: &str, kind: u32, count: usize, value: u32, words: &[u32]) -> u32 {
        let name = self.string(name);
        let head = [name, kind << 24 | count as u32, value];
        self.types.extend(head.iter().chain(words).flat_map(|word| word.to_ne_bytes()));
        self.count += 1;
        self.count
    }

    fn string(&mut self, text: &str) -> u32 {
        // The first string is the empty one, which stands for no name.
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        if text.is_empty() {
            return 0;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend(text.bytes().chain([0]));
        offset
    }

    pub(in super::super) fn number(&mut self, size: u32) -> u32 {
        self.add("int", kind::INT, 0, size, &[size * 8])
    }

    pub(in super::super) fn pointer(&mut self, target: u32) -> u32 {
        self.add("", kind::PTR, 0, target, &[])
    }

    pub(in super::super) fn constant(&mut self, target: u32) -> u32 {
        self.add("", kind::CONST, 0, target, &[])
    }

    pub(in super::super) fn typedef(&mut self, name: &str, target: u32) -> u32 {
        self.add(name, kind::TYPEDEF, 0, target, &[])
    }

    pub(in super::super) fn array(&mut self, element: u32, count: u32) -> u32 {
        self.add("", kind::ARRAY, 0, 0, &[element, 1, count])
    }

    /// `fields`: name, type and offset in bytes.
    pub(in super::super) fn structure(&mut self, name: &str, size: u32, fields: &[(&str, u32, u32)]) -> u32 {
        self.aggregate(kind::STRUCT, name, size, fields)
    }

    fn aggregate(&mut self, kind: u32, name: &str, size: u32, fields: &[(&str, u32, u32)]) -> u32 {
        let words: Vec<u32> =
            fields.iter().flat_map(|&(name, kind, offset)| [self.string(name), kind, offset * 8]).collect();
        self.add(name, kind, fields.len(), size, &words)
    }

    pub(in super::super) fn enumeration(&mut self, name: &str, values: &[(&str, u32)]) -> u32 {
        let words: Vec<u32> = values.iter().flat_map(|&(name, value)| [self.string(name), value]).collect();
        self.add(name, kind::ENUM, values.len(), 4, &words)
    }

    /// A tracepoint with these arguments.
    pub(in super::super) fn tracepoint(&mut self, name: &str, arguments: &[u32]) -> u32 {
        let words: Vec<u32> = [&[0], arguments].concat().iter().flat_map(|&kind| [0, kind]).collect();
        let function = self.add("", kind::FUNC_PROTO, arguments.len() + 1, 0, &words);
        let pointer = self.pointer(function);
        self.typedef(&format!("btf_trace_{name}"), pointer)
    }

    /// The file's content.
    pub(in super::super) fn into_bytes(self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::from(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        bytes.extend([24, 0, types, types, strings].iter().flat_map(|word: &u32| word.to_ne_bytes()));
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

/// A device with a field behind an unnamed union, a bit field, and an array of structures.
fn device() -> Vec<u8> {
    let mut btf = BtfWriter::default();
    let number = btf.number(4);
    let entity = btf.structure("entity", 16, &[("program", number, 0), ("link", number, 8)]);
    let state = btf.array(entity, 3);
    let unnamed = btf.aggregate(kind::UNION, "", 4, &[("index", number, 0)]);
    let typedef = btf.typedef("index_t", number);
    let constant = btf.constant(typedef);
    btf.structure("device", 100, &[("", unnamed, 20), ("state", state, 24), ("own", constant, 96)]);
    btf.into_bytes()
}

#[test]
fn a_field_is_found_with_its_offset_in_the_whole_structure() {
    let btf = device();
    let types = KernelTypes::parse(&btf).unwrap();
    let device = types.structure("device").unwrap();
    let offset = |place: Option<Place>| place.map(|place| place.offset);
    assert_eq!(offset(types.field(device, "index")), Some(20), "in an unnamed union");
    assert_eq!(offset(types.field(device, "own")), Some(96));
    assert_eq!(types.field(device, "absent"), None);
    let state = types.field(device, "state").unwrap();
    let second = types.element(state, 1).unwrap();
    assert_eq!(offset(types.field(second, "link")), Some(24 + 16 + 8));
    assert_eq!(types.element(state, 3), None, "beyond the array");
    assert_eq!(types.element(device, 0), None, "no array");
}

#[test]
fn the_offset_of_a_bit_field_is_without_its_width() {
    let mut btf = BtfWriter::default();
    let number = btf.number(4);
    let name = btf.string("flags");
    btf.add("device", kind::STRUCT | 1 << 7, 1, 8, &[name, number, 3 << 24 | 32]);
    let btf = btf.into_bytes();
    let types = KernelTypes::parse(&btf).unwrap();
    let device = types.structure("device").unwrap();
    assert_eq!(types.field(device, "flags").unwrap().offset, 4);
}

#[test]
fn types_are_seen_through_typedefs_and_modifiers() {
    let btf = device();
    let types = KernelTypes::parse(&btf).unwrap();
    let device = types.structure("device").unwrap();
    assert!(types.is_number(types.field(device, "own").unwrap().kind));
    assert!(!types.is_number(device.kind));
    assert!(!types.points_to(device.kind, "device"));
}

#[test]
fn other_formats_and_cut_files_are_refused() {
    let mut btf = BtfWriter::default();
    btf.number(4);
    let bytes = btf.into_bytes();
    assert!(KernelTypes::parse(&bytes).is_some());
    for length in 0..bytes.len() {
        assert!(KernelTypes::parse(&bytes[..length]).is_none(), "{length} bytes");
    }
    let other_byte_order = [&[bytes[1], bytes[0]], &bytes[2..]].concat();
    assert!(KernelTypes::parse(&other_byte_order).is_none());
    let mut newer = BtfWriter::default();
    newer.add("", kind::LAST + 1, 0, 0, &[]);
    assert!(KernelTypes::parse(&newer.into_bytes()).is_none(), "a kind of unknown length");
}

#[test]
fn endless_chains_of_modifiers_end() {
    let mut btf = BtfWriter::default();
    btf.constant(1);
    let btf = btf.into_bytes();
    let types = KernelTypes::parse(&btf).unwrap();
    assert!(!types.is_number(1));
}
