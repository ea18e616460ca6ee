//! Reads where the running kernel keeps fields of its structures: from its BTF (Documentation/bpf/btf.rst).

/// Kinds of types (`BTF_KIND_*` of linux/btf.h).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
    /// The newest kind that this reader knows the length of.
    pub(super) const LAST: u32 = ENUM64;
}

const MAGIC: u16 = 0xeb9f;
/// Length of `struct btf_type`: name, information, size or type.
const TYPE: usize = 12;
/// Most modifiers and typedefs around one type; the kernel refuses longer chains.
const MODIFIERS: usize = 32;

/// The types of a kernel: more than 100,000, of which a few are looked up. So names are searched, not indexed.
pub(super) struct KernelTypes<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`, by its number less one.
    starts: Vec<u32>,
}

/// A type within a structure: how many bytes after the structure's start, and the type's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u32,
    pub(super) kind: u32,
}

struct Type<'a> {
    name: u32,
    kind: u32,
    /// In structures: whether members tell the width of bit fields.
    flag: bool,
    /// Size in bytes, or the number of another type.
    value: u32,
    /// Members, parameters, or enumerators, three or two words each.
    words: Words<'a>,
}

/// Words of four bytes in host order.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn rows<const N: usize>(self) -> impl Iterator<Item = [u32; N]> + use<'a, N> {
        self.0.chunks_exact(4 * N).map(|row| {
            let mut words = [0; N];
            for (word, bytes) in words.iter_mut().zip(row.chunks_exact(4)) {
                *word = number(bytes).unwrap_or_default();
            }
            words
        })
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

impl<'a> KernelTypes<'a> {
    /// Reads `bytes`, the content of `/sys/kernel/btf/vmlinux`. `None` if it has another format.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let magic = u16::from_ne_bytes(*bytes.first_chunk()?);
        let word = |index: usize| Some(number(bytes.get(index..)?)? as usize);
        let (header, types, types_length, strings, strings_length) =
            (word(4)?, word(8)?, word(12)?, word(16)?, word(20)?);
        let section = |start: usize, length: usize| {
            let start = header.checked_add(start)?;
            bytes.get(start..start.checked_add(length)?)
        };
        let (types, strings) = (section(types, types_length)?, section(strings, strings_length)?);
        if magic != MAGIC {
            return None;
        }
        let mut read = KernelTypes { types, strings, starts: Vec::new() };
        let mut start = 0;
        while start < types.len() {
            read.starts.push(u32::try_from(start).ok()?);
            start += TYPE + read.at(start)?.words.0.len();
        }
        Some(read)
    }

    fn at(&self, start: usize) -> Option<Type<'a>> {
        let word = |index: usize| number(self.types.get(start + 4 * index..)?);
        let (name, information, value) = (word(0)?, word(1)?, word(2)?);
        let (count, kind) = (information as usize & 0xffff, information >> 24 & 0x1f);
        let words = match kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 1,
            kind::ARRAY => 3,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 3 * count,
            kind::ENUM | kind::FUNC_PROTO => 2 * count,
            1..=kind::LAST => 0,
            _ => return None,
        };
        let words = Words(self.types.get(start + TYPE..start + TYPE + 4 * words)?);
        Some(Type { name, kind, flag: information >> 31 == 1, value, words })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        self.at(*self.starts.get((id as usize).checked_sub(1)?)? as usize)
    }

    /// Follows typedefs and modifiers to the type that they name.
    fn plain(&self, mut id: u32) -> Option<(u32, Type<'a>)> {
        for _ in 0..MODIFIERS {
            let found = self.get(id)?;
            match found.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = found.value;
                }
                _ => return Some((id, found)),
            }
        }
        None
    }

    fn name(&self, offset: u32) -> &[u8] {
        let text = self.strings.get(offset as usize..).unwrap_or_default();
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    fn find(&self, kind: u32, name: &str) -> Option<u32> {
        // The first of several structures of one name: later ones belong to single files.
        (1..).zip(&self.starts).map(|(id, start)| (id, self.at(*start as usize))).find_map(|(id, found)| {
            found.filter(|found| found.kind == kind && self.name(found.name) == name.as_bytes()).map(|_| id)
        })
    }

    /// Finds a structure.
    pub(super) fn structure(&self, name: &str) -> Option<Place> {
        Some(Place { offset: 0, kind: self.find(kind::STRUCT, name)? })
    }

    /// Finds a field of the structure at `place`, also in its unnamed structures and unions.
    pub(super) fn field(&self, place: Place, name: &str) -> Option<Place> {
        let (_, structure) = self.plain(place.kind)?;
        if ![kind::STRUCT, kind::UNION].contains(&structure.kind) {
            return None;
        }
        structure.words.rows().find_map(|[member, kind, bits]: [u32; 3]| {
            let bits = if structure.flag { bits & 0x00ff_ffff } else { bits };
            let found = Place { offset: place.offset + bits / 8, kind };
            match self.name(member) {
                [] => self.field(found, name),
                member if member == name.as_bytes() => Some(found),
                _ => None,
            }
        })
    }

    /// Finds an element of the array at `place`, whose elements are structures.
    pub(super) fn element(&self, place: Place, index: u32) -> Option<Place> {
        let (_, array) = self.plain(place.kind)?;
        let [kind, _, count]: [u32; 3] = array.words.rows().next().filter(|_| array.kind == kind::ARRAY)?;
        let (_, element) = self.plain(kind)?;
        (element.kind == kind::STRUCT && index < count)
            .then_some(Place { offset: place.offset + index * element.value, kind })
    }

    /// Whether a type is a pointer to this structure.
    pub(super) fn points_to(&self, id: u32, structure: &str) -> bool {
        let target =
            self.plain(id).filter(|(_, found)| found.kind == kind::PTR).map(|(_, found)| found.value);
        let target = target.and_then(|target| self.plain(target));
        target.is_some_and(|(_, found)| {
            found.kind == kind::STRUCT && self.name(found.name) == structure.as_bytes()
        })
    }

    /// Whether a type is a number of four bytes.
    pub(super) fn is_number(&self, id: u32) -> bool {
        self.plain(id).is_some_and(|(_, found)| found.kind == kind::INT && found.value == 4)
    }

    /// Finds the value of an enumerator.
    pub(super) fn enumerator(&self, enumeration: &str, name: &str) -> Option<u32> {
        let enumeration = self.get(self.find(kind::ENUM, enumeration)?)?;
        let mut rows = enumeration.words.rows();
        rows.find(|[found, _]: &[u32; 2]| self.name(*found) == name.as_bytes()).map(|[_, value]| value)
    }

    /// Finds the types of a tracepoint's arguments, in their order.
    pub(super) fn tracepoint(&self, name: &str) -> Option<Vec<u32>> {
        let (_, pointer) = self.plain(self.find(kind::TYPEDEF, &format!("btf_trace_{name}"))?)?;
        let (_, function) = self.plain(pointer.value).filter(|_| pointer.kind == kind::PTR)?;
        // The first parameter is the tracepoint's own data.
        (function.kind == kind::FUNC_PROTO)
            .then(|| function.words.rows().skip(1).map(|[_, kind]: [u32; 2]| kind).collect())
    }
}

#[cfg(test)]
pub(super) mod tests;
