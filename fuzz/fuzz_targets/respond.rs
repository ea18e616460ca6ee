//! See [`xstun_fuzz::targets::respond`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::respond::run(input));
