//! See [`xstun_fuzz::targets::rings`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::rings::run(input));
