//! The XDP program: reads the frame for [`classify`](xstun_core::classify::classify), acts on its verdict and
//! counts it. It decides nothing by itself.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod losses;
#[cfg(target_arch = "bpf")]
mod program;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("xstun-xdp runs in the kernel: `cargo xtask build` builds it for bpfel-unknown-none");
    std::process::exit(2);
}
