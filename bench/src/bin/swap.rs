//! Attaches the bare XDP_TX swap, the limit of answers in the kernel, until it is killed. Not for use: it
//! answers anything.

use aya::EbpfLoader;
use aya::programs::{Xdp, XdpMode};
use clap::Parser;
use std::error::Error;
use std::path::PathBuf;
use std::{process, thread};
use xstun::interface;
use xstun_bench_ebpf::PROGRAM_SWAP;

/// Sends back every UDP datagram of an interface, within the kernel.
#[derive(Parser)]
struct Arguments {
    /// Interface whose datagrams are sent back
    interface: String,
    /// The object with the program
    #[arg(long, value_name = "FILE")]
    object: PathBuf,
    /// Run the program in the kernel's generic hook
    #[arg(long)]
    generic: bool,
}

fn main() {
    if let Err(error) = serve(&Arguments::parse()) {
        eprintln!("error: {error}");
        process::exit(1);
    }
}

fn serve(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let interface = interface::find(&arguments.interface)?;
    let mut ebpf = EbpfLoader::new().load_file(&arguments.object)?;
    let program: &mut Xdp =
        ebpf.program_mut(PROGRAM_SWAP).ok_or("the object has no such program")?.try_into()?;
    program.load()?;
    let mode = if arguments.generic { XdpMode::Skb } else { XdpMode::Driver };
    program.attach_to_if_index(interface.index, mode)?;
    loop {
        thread::park();
    }
}
