//! The figures of README.md are the recorded ones.

use crate::read;
use serde_json::Value;

#[test]
fn the_instruction_count_in_the_readme_is_the_recorded_one() {
    let recorded: Vec<Value> = serde_json::from_str(&read("bench/instructions-x86_64.json")).unwrap();
    let bare: Vec<u64> = recorded
        .iter()
        .filter(|row| row["piece"] == "answer" && row["shape"] == "IPv4 bare")
        .map(|row| row["instructions"].as_u64().unwrap())
        .collect();
    let page = read("README.md");
    let stated: Vec<u64> = page
        .split("A bare IPv4 request takes ")
        .skip(1)
        .map(|rest| rest.split(" instructions").next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(stated.len(), 1, "README.md states the count once: {stated:?}");
    assert_eq!(stated, bare);
}
