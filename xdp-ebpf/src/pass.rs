//! An XDP program that passes every frame to the kernel's stack. On a veth pair the end that receives what
//! the other one sends by XDP_TX needs a program; any will do.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{bindings::xdp_action::XDP_PASS, macros::xdp, programs::XdpContext};

    #[xdp]
    fn xstun_pass(_: XdpContext) -> u32 {
        XDP_PASS
    }

    #[panic_handler]
    fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }
}

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("xstun-pass runs in the kernel: `cargo xtask demo` builds it for bpfel-unknown-none");
    std::process::exit(2);
}
