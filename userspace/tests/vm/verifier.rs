//! Loads each XDP program, and reports how many instructions this kernel's verifier processed.

use crate::report::Report;
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use serde_json::json;
use xstun_ebpf::{PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR, PROGRAM_FRAGS, PROGRAM_LINEAR};

const PROGRAMS: [&str; 4] = [PROGRAM_ANSWERS_FRAGS, PROGRAM_ANSWERS_LINEAR, PROGRAM_FRAGS, PROGRAM_LINEAR];
/// The most that a program may take: half of what the kernel allows, so that what a later kernel's verifier adds
/// does not lose the program there (BPF_COMPLEXITY_LIMIT_INSNS, include/linux/bpf.h).
const MOST: u32 = 500_000;

/// Loads the programs as the server does without `--xdp-log`.
pub(crate) fn run(report: &Report) {
    let path = std::env::var("XSTUN_EBPF_OBJECT").expect("XSTUN_EBPF_OBJECT");
    let object = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut ebpf =
        EbpfLoader::new().override_global("AYA_LOG_LEVEL", &0u8, true).load(&object).expect("the maps");
    for name in PROGRAMS {
        eprintln!("{name}");
        report.write(&match verified(&mut ebpf, name) {
            Ok(count) if count <= MOST => json!({ "program": name, "verified": count }),
            Ok(count) => {
                let fault = format!("the verifier processed {count} instructions, more than {MOST}");
                json!({ "program": name, "verified": count, "fault": fault })
            }
            Err(error) => json!({ "program": name, "fault": error }),
        });
    }
}

fn verified(ebpf: &mut Ebpf, name: &str) -> Result<u32, String> {
    let program: &mut Xdp = ebpf.program_mut(name).expect(name).try_into().expect("an XDP program");
    program.load().map_err(|error| format!("cannot load it: {error:?}"))?;
    let info = program.info().map_err(|error| format!("cannot read its information: {error:?}"))?;
    info.verified_instruction_count().ok_or_else(|| "this kernel counts no verified instructions".to_owned())
}
