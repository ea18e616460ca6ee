//! See [`xstun_fuzz::targets::policies`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::policies::run(input));
