//! Rows for tests.

use super::contenders::ContenderKind;
use super::metrics::{BenchRow, Metric, Numbers};

pub(super) fn numbers(values: &[(Metric, f64)]) -> Numbers {
    let mut numbers = Numbers::default();
    for (metric, value) in values {
        numbers.set(*metric, *value);
    }
    numbers
}

pub(super) fn row(id: &'static str, numbers: &Numbers) -> BenchRow {
    let kind = match id {
        id if id.starts_with("limit") => ContenderKind::Limit,
        id if ["af-xdp", "kernel", "socket"].iter().any(|ours| id.starts_with(ours)) => ContenderKind::Ours,
        _ => ContenderKind::Other,
    };
    BenchRow {
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
