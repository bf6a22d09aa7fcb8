//! Feeds `config_properties`, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portreeve_control_plane::fuzzing::config_properties(bytes));
