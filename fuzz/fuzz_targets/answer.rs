//! See [`xstun_fuzz::targets::answer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| xstun_fuzz::targets::answer::run(input));
