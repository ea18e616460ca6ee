//! How the allocator gives memory back that was needed only for a moment.
#![allow(unsafe_code)]

/// Bytes from which on an allocation is a mapping of its own: glibc's default.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;

/// Makes large allocations go back to the kernel when they are freed. Otherwise glibc takes the first of them as a
/// reason to keep all later ones, up to that size: reading the kernel's types at the start (5 MiB) would then cost
/// 6 MiB for good.
pub fn give_back_large() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets one number of the allocator, before any other thread exists; no allocation depends on it.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}
