//! Feeds `eureka_xml`, which says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| portreeve_control_plane::fuzzing::eureka_xml(bytes));
