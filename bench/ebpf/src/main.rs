//! The benchmark's programs in the kernel. The generator sends requests and counts replies, so that one core
//! can offer several times what any server sustains (`bench/src/bin/flood.rs` runs it). The bare swap is the
//! limit of answers in the kernel (`bench/src/bin/swap.rs`).
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod flood;
#[cfg(target_arch = "bpf")]
mod swap;

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("xstun-generator runs in the kernel: `cargo xtask bench` builds it for bpfel-unknown-none");
    std::process::exit(2);
}
