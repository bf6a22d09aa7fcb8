//! Every shell block of `docs/routing-tools.md`, pasted into one shell in an empty folder, with free ports.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::net::TcpListener;
use std::process::Command;

const PAGE: &str = include_str!("../docs/routing-tools.md");

/// The commands of each block, and after each of them what is told of its output.
fn script() -> (String, Vec<Vec<&'static str>>) {
    let (mut script, mut expected) = (String::from("set -u\n"), Vec::new());
    for block in PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let mut commands = String::new();
        for line in block.lines() {
            match line.strip_prefix("# → ") {
                None => writeln!(commands, "{line}").unwrap(),
                Some(told) => {
                    expected.push(told.split(", ").collect());
                    writeln!(script, "{}\necho; echo '=== told'", std::mem::take(&mut commands)).unwrap();
                }
            }
        }
        script.push_str(&commands);
    }
    (script, expected)
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn every_shell_block_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (script, expected) = script();
    assert!(expected.len() >= 9, "{script}");
    let script = script.replace("127.0.0.1:19091", &free_port()).replace("127.0.0.1:19092", &free_port());
    let folder_of_binary = std::path::Path::new(env!("CARGO_BIN_EXE_portreeve")).parent().unwrap();
    let path = format!("{}:{}", folder_of_binary.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("bash").arg("-c").arg(&script).env("PATH", path).current_dir(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Vec<&str> = text.split("=== told\n").collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(told.len(), expected.len() + 1, "{text}\n{errors}");
    for (output, expected) in told.iter().zip(expected) {
        for words in expected {
            assert!(output.contains(words), "no `{words}` in\n{output}\n{errors}");
        }
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_with_a_remedy() {
    let portreeve = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_portreeve")).args(arguments).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    std::fs::write(&file, "kind: gateway\n").unwrap();
    let config = file.to_str().unwrap();
    for (arguments, code, words) in [
        (&["explain", "--config", "/nowhere.yaml", "--url", "http://a/"][..], 78, "there is no file"),
        (&["explain", "--config", config, "--url", "shop"], 1, "url: a request is named by a whole URL"),
        (&["explain", "--config", config, "--url", "http://a/", "--header", "x"], 1, "`name: value`"),
        (
            &["explain", "--config", config, "--url", "http://a/", "--method", "G T"],
            1,
            "`G T` is not a method",
        ),
        (&["explain", "--server", "http://127.0.0.1:1", "--url", "http://a/"], 1, "127.0.0.1:1"),
        (&["import", "spring", "/nowhere.yml"], 1, "cannot read `/nowhere.yml`"),
        (&["import", "spring", config], 78, "there are no routes of Spring Cloud Gateway"),
    ] {
        let (found, told) = portreeve(arguments);
        assert!(found == code && told.contains(words), "{arguments:?}: {found}\n{told}");
    }
}
