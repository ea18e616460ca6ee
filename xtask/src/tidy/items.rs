//! Reads the items that a file makes visible to others.

use super::source::{SourceFile, bracketed, item_end, name_at, skip_space, words};
use std::ops::Range;

/// How far an item is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// `pub`: in every crate, if the modules around it are `pub` too.
    Everywhere,
    /// `pub(crate)`, `pub(super)` and `pub(in ...)`.
    Crate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemKind {
    Function,
    /// `struct`, `enum`, `union`, `trait` or `type`.
    Type,
    /// `const` or `static`.
    Value,
    Module,
    Field,
}

/// Something with `pub` before it.
#[derive(Debug)]
pub(super) struct Item<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ItemKind,
    pub(super) reach: Reach,
    pub(super) line: usize,
    /// Range of the code that whoever uses the item depends on.
    pub(super) signature: Range<usize>,
}

/// Returns the items of a file outside its tests, without `use` items.
pub(super) fn items(source: &SourceFile) -> Vec<Item<'_>> {
    words(&source.code, "pub").filter_map(|offset| item(source, offset)).collect()
}

fn item(source: &SourceFile, offset: usize) -> Option<Item<'_>> {
    let code = source.code.as_str();
    let line = source.line_of(offset);
    let mut at = skip_space(code, offset + "pub".len());
    let reach = if code[at..].starts_with('(') { Reach::Crate } else { Reach::Everywhere };
    if reach == Reach::Crate {
        at = skip_space(code, bracketed(code, at));
    }
    if source.is_test(line) {
        return None;
    }
    let (kind, name) = kind_and_name(code, at)?;
    let start = name.as_ptr() as usize - code.as_ptr() as usize;
    Some(Item { name, kind, reach, line, signature: signature(code, kind, start) })
}

/// Reads what the words after `pub` declare. A colon after the name makes it a field.
fn kind_and_name(code: &str, mut at: usize) -> Option<(ItemKind, &str)> {
    let mut constant = false;
    loop {
        let word = name_at(code, at)?;
        at = skip_space(code, at + word.len());
        let kind = match word {
            "fn" => ItemKind::Function,
            "struct" | "enum" | "union" | "trait" | "type" => ItemKind::Type,
            "static" => ItemKind::Value,
            "mod" => ItemKind::Module,
            "use" | "crate" => return None,
            "const" => {
                constant = true;
                continue;
            }
            "async" | "unsafe" | "extern" | "mut" => continue,
            name if constant => return Some((ItemKind::Value, name)),
            name => return code[at..].starts_with(':').then_some((ItemKind::Field, name)),
        };
        let name = name_at(code, at)?;
        let name = if name == "mut" { name_at(code, at + name.len())? } else { name };
        return Some((kind, name));
    }
}

/// Returns the range from the name to the end of the signature, or of the definition of a type.
fn signature(code: &str, kind: ItemKind, start: usize) -> Range<usize> {
    let end = match kind {
        ItemKind::Function => start + find_outside(&code[start..], &['{', ';']),
        ItemKind::Type => item_end(code, start),
        ItemKind::Value => start + find_outside(&code[start..], &['=', ';']),
        ItemKind::Field => start + find_outside(&code[start..], &[',', '}', ')']),
        ItemKind::Module => start,
    };
    start..end
}

/// Returns the offset of the first of these characters outside of brackets.
fn find_outside(code: &str, ends: &[char]) -> usize {
    let mut depth = 0usize;
    for (at, c) in code.char_indices() {
        match c {
            c if depth == 0 && ends.contains(&c) => return at,
            '(' | '[' | '<' => depth += 1,
            // `->` closes nothing.
            '>' if code[..at].ends_with(['-', '=']) => {}
            ')' | ']' | '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::{ItemKind, Reach, SourceFile, items};

    #[test]
    fn every_kind_of_item_is_read() {
        let text = "pub struct A {\n    pub b: Vec<(u8, C)>,\n    d: E,\n}\npub(crate) enum F { G(H) }\n\
                    pub const unsafe fn i(j: [u8; 4]) -> K { l() }\npub static mut M: N = o();\n\
                    pub(in super::super) type P = Q;\npub mod r;\npub use s::T;\nfn u() {}\n\
                    #[cfg(test)]\nmod tests {\n    pub fn v() {}\n}\n";
        let source = SourceFile::new("a/src/b.rs", text);
        let found: Vec<_> = items(&source)
            .into_iter()
            .map(|item| (item.line, item.kind, item.reach, &source.code[item.signature]))
            .collect();
        let expected = [
            (1, ItemKind::Type, Reach::Everywhere, "A {\n    pub b: Vec<(u8, C)>,\n    d: E,\n}"),
            (2, ItemKind::Field, Reach::Everywhere, "b: Vec<(u8, C)>"),
            (5, ItemKind::Type, Reach::Crate, "F { G(H) }"),
            (6, ItemKind::Function, Reach::Everywhere, "i(j: [u8; 4]) -> K "),
            (7, ItemKind::Value, Reach::Everywhere, "M: N "),
            (8, ItemKind::Type, Reach::Crate, "P = Q;"),
            (9, ItemKind::Module, Reach::Everywhere, ""),
        ];
        assert_eq!(found, expected);
    }
}
