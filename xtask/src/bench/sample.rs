//! Rows for the tests of what is made of rows.

use super::contenders::Kind;
use super::metrics::{Metric, Numbers, Row};

pub(super) fn numbers(values: &[(Metric, f64)]) -> Numbers {
    let mut numbers = Numbers::default();
    for (metric, value) in values {
        numbers.set(*metric, *value);
    }
    numbers
}

pub(super) fn row(id: &'static str, numbers: &Numbers) -> Row {
    let kind = match id {
        id if id.starts_with("limit") => Kind::Limit,
        id if id.starts_with("af-xdp") || id.starts_with("socket") => Kind::Ours,
        _ => Kind::Other,
    };
    Row {
        id,
        label: id,
        kind,
        setting: "plain",
        shared_core: false,
        bound_by_generator: false,
        rounds: vec![numbers.clone()],
        medians: numbers.clone(),
    }
}
