//! See [`xstun_fuzz::targets::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::frame::run(input));
