//! The benchmark's generator: sends requests and counts replies in the kernel, so that one core can offer
//! several times what any server sustains. `bench/src/bin/flood.rs` runs it.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("xstun-generator runs in the kernel: `cargo xtask bench` builds it for bpfel-unknown-none");
    std::process::exit(2);
}
