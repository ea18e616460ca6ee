//! See [`xstun_fuzz::targets::classify`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::classify::run(input));
