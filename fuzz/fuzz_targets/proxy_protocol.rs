//! Feeds `cases::proxy_protocol`, which says what must hold.
#![no_main]

#[path = "../cases.rs"]
#[allow(dead_code)]
mod cases;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cases::proxy_protocol(bytes));
