//! Every seed of some cases, through the functions that the fuzzer feeds: what it once found stays found where no fuzzer
//! runs. Included by the tests of each crate that has cases.

use std::path::Path;

/// A case's name, which is its folder's among the seeds, and what is fed.
pub(crate) type Case = (&'static str, fn(&[u8]));

/// Panics where a case does, and when a case has next to no seeds.
pub(crate) fn feed(cases: &[Case]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, case) in cases {
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
