//! Feeds `fuzzing::answer_head` of the data plane, which says what must hold.
#![no_main]

use portreeve_proxy::server::fuzzing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzzing::answer_head(bytes));
