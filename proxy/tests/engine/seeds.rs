//! Every seed of the fuzzer's cases that are fed through the library's own face.

#[path = "../../../fuzz/cases.rs"]
mod cases;
#[path = "../../../fuzz/seeds.rs"]
mod feeding;

#[test]
fn every_seed_passes_its_case() {
    feeding::feed(cases::ALL);
}
