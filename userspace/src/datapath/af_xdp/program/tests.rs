use super::{ANSWERING, OBJECT, REDIRECTING, XdpProgram};
use crate::datapath::af_xdp::link::BpfLink;
use crate::datapath::af_xdp::mode::XdpMode;
use aya::programs::ProgramError;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Offsets and sizes in an ELF file of 64 bits in little endian: header, section headers, symbols.
const SECTIONS: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const SECTION: usize = 64;
const SYMBOL: usize = 24;
const SYMBOL_TABLE: u64 = 2;
/// `BPF_JMP | BPF_EXIT` of linux/bpf.h.
const EXIT: u8 = 0x95;

/// The number of `width` bytes at `offset`.
fn number(object: &[u8], offset: usize, width: usize) -> u64 {
    object[offset..offset + width].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Where the section of this number has its header, its content, and the number of the section that it refers to.
fn section(object: &[u8], index: u64) -> (usize, usize, u64) {
    let header = number(object, SECTIONS, 8) as usize + index as usize * SECTION;
    (header, number(object, header + 0x18, 8) as usize, number(object, header + 0x28, 4))
}

/// Replaces the first exit of the program of this name by an instruction that there is not.
fn break_program(object: &mut [u8], name: &str) {
    let sections = 0..number(object, SECTION_COUNT, 2);
    let (header, symbols, names) = sections
        .map(|index| section(object, index))
        .find(|(header, ..)| number(object, header + 4, 4) == SYMBOL_TABLE)
        .expect("the object has symbols");
    let (_, names, _) = section(object, names);
    let count = number(object, header + 0x20, 8) as usize / SYMBOL;
    let is_named = |symbol: &usize| {
        let text = &object[names + number(object, *symbol, 4) as usize..];
        text.starts_with(name.as_bytes()) && text[name.len()] == 0
    };
    let symbol =
        (0..count).map(|index| symbols + index * SYMBOL).find(is_named).expect("the program is there");
    let (_, content, _) = section(object, number(object, symbol + 6, 2));
    let start = content + number(object, symbol + 8, 8) as usize;
    let length = number(object, symbol + 16, 8) as usize;
    let exit = (start..start + length).step_by(8).find(|at| object[*at] == EXIT).expect("the program exits");
    object[exit..exit + 8].fill(0);
}

/// A kernel that refuses the larger program gets the smaller one, and the failure has the verifier's line.
#[test]
#[ignore = "needs root: loads XDP programs"]
fn where_the_larger_program_is_refused_the_smaller_one_is_loaded() {
    let mut program = XdpProgram::load_answering(1, false).unwrap();
    let refusal = program.take_refusal();
    assert!(refusal.is_none() && program.name == ANSWERING.frags, "{}: {refusal:?}", program.name);
    let mut object = OBJECT.to_vec();
    for name in [ANSWERING.frags, ANSWERING.linear] {
        break_program(&mut object, name);
    }
    let mut program = XdpProgram::create(&object, 1, false).unwrap();
    program.load_answering_or_redirecting().unwrap();
    let refusal = program.take_refusal().expect("the larger program is refused");
    assert!(refusal.to_string().contains("the verifier says '"), "{refusal}");
    assert_eq!(program.name, REDIRECTING.frags);
    break_program(&mut object, REDIRECTING.frags);
    let mut program = XdpProgram::create(&object, 1, false).unwrap();
    program.load_answering_or_redirecting().unwrap();
    assert!(program.take_refusal().is_some());
    assert_eq!(program.name, REDIRECTING.linear, "as for a kernel without multi-buffer XDP");
}

/// Installs the larger program of `object` in native mode, by a driver that refuses the first `refusals` programs.
/// Returns the result and how many programs the driver was offered.
fn install(object: &[u8], refusals: usize) -> (XdpProgram, Result<(), ProgramError>, usize) {
    let mut program = XdpProgram::create(object, 1, false).unwrap();
    program.load_answering_or_redirecting().unwrap();
    let mut offered = 0;
    let installed = program.install(XdpMode::Native, |_| {
        offered += 1;
        if offered <= refusals {
            return Err(super::io(std::io::Error::from_raw_os_error(libc::ENOBUFS + offered as i32)));
        }
        Ok(BpfLink::from(OwnedFd::from(File::open("/dev/null").unwrap())))
    });
    (program, installed, offered)
}

/// A driver that refuses multi-buffer programs gets the linear form; the smaller one, if the kernel refuses the larger
/// one in that form. If the driver refuses that too, its first error counts.
#[test]
#[ignore = "needs root: loads XDP programs"]
fn where_a_driver_refuses_the_multi_buffer_form_the_largest_linear_one_is_attached() {
    let (mut program, installed, offered) = install(OBJECT, 1);
    installed.unwrap();
    assert_eq!((program.name, offered), (ANSWERING.linear, 2));
    assert!(program.take_refusal().is_none());
    let mut object = OBJECT.to_vec();
    break_program(&mut object, ANSWERING.linear);
    let (mut program, installed, offered) = install(&object, 1);
    installed.unwrap();
    assert_eq!((program.name, offered), (REDIRECTING.linear, 2));
    let refusal = program.take_refusal().expect("the larger program is refused").to_string();
    assert!(refusal.contains("the verifier says '"), "{refusal}");
    let first_error = |(mut program, installed, offered): (XdpProgram, Result<(), ProgramError>, usize)| {
        assert_eq!(program.name, ANSWERING.frags);
        assert!(program.take_refusal().is_none(), "the larger program is the one that is loaded");
        let Err(ProgramError::IOError(error)) = installed else { panic!("{installed:?}") };
        assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS + 1), "the driver's first");
        offered
    };
    assert_eq!(first_error(install(&object, 2)), 2);
    break_program(&mut object, REDIRECTING.linear);
    assert_eq!(first_error(install(&object, 1)), 1, "no linear form is left to offer");
}
