//! The command's life is bound to the sidecar's: this file is the shim, the parent that is killed, and the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portreeve_sidecar::exec_with_parent;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("exec-with-parent") => {
            let error = exec_with_parent(arguments[2].parse().unwrap(), &arguments[4..]);
            eprintln!("{error}");
            std::process::exit(error.exit_code().into());
        }
        Some("parent") => parent(&arguments[2]),
        // The test runner asks for a list of tests; there is nothing to pick from.
        Some("--list") => {}
        _ => {
            the_command_ends_with_a_parent_that_is_killed();
            the_command_takes_the_place_of_the_shim();
            what_cannot_be_started_has_the_exit_code_of_a_shell();
            a_parent_that_is_gone_starts_nothing();
        }
    }
}

fn shim(parent: u32, command: &[&str]) -> Command {
    let mut shim = Command::new(std::env::current_exe().unwrap());
    shim.arg("exec-with-parent").arg(parent.to_string()).arg("--").args(command);
    shim.stderr(Stdio::piped());
    shim
}

/// Starts a command that would outlive it, tells its id, and waits to be killed.
fn parent(file: &str) {
    let mut child = shim(std::process::id(), &["sleep", "600"]).spawn().unwrap();
    fs::write(file, child.id().to_string()).unwrap();
    child.wait().unwrap();
}

fn the_command_ends_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut parent = Command::new(std::env::current_exe().unwrap()).arg("parent").arg(&file).spawn().unwrap();
    let pid = eventually(|| fs::read_to_string(&file).ok().filter(|text| !text.is_empty()));
    let name = format!("/proc/{pid}/comm");
    eventually(|| fs::read_to_string(&name).ok().filter(|name| name.trim() == "sleep"));
    parent.kill().unwrap();
    assert_eq!(parent.wait().unwrap().signal(), Some(9));
    eventually(|| is_over(&pid).then_some(()));
}

/// Gone, or dead and waiting for its new parent to notice.
fn is_over(pid: &str) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(line) => line.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

fn the_command_takes_the_place_of_the_shim() {
    let mut child = shim(std::process::id(), &["sh", "-c", "exit 7"]).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

fn what_cannot_be_started_has_the_exit_code_of_a_shell() {
    for (program, code) in [("/nowhere/at-all", 127), ("/", 126)] {
        let mut child = shim(std::process::id(), &[program]).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{program}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(program) && said.contains("check its path"), "{said}");
    }
}

fn a_parent_that_is_gone_starts_nothing() {
    let mut child = shim(1 << 30, &["sh", "-c", "exit 7"]).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < limit, "it did not happen within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
