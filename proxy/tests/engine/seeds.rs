//! Every seed of the fuzzer, through the same functions: what it once found stays found where no fuzzer runs.

use std::path::Path;

#[path = "../../../fuzz/cases.rs"]
mod cases;

#[test]
fn every_seed_passes_its_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, case) in cases::ALL {
        let mut count = 0;
        for seed in std::fs::read_dir(folder.join(name)).unwrap() {
            let path = seed.unwrap().path();
            // Shown only when the case panics.
            println!("{}", path.display());
            case(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 9, "{name} has only {count} seeds");
    }
}
