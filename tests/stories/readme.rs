//! Every shell block of the README's stories, pasted into one shell as a reader would.

use std::fmt::Write as _;

use crate::demo::{Demo, PORTREEVE};

struct Block {
    commands: String,
    /// What its output must hold.
    expected: Vec<String>,
}

fn blocks(readme: &str) -> Vec<Block> {
    let fenced = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    fenced
        .map(|text| {
            let (told, commands): (Vec<&str>, Vec<&str>) =
                text.lines().partition(|line| line.starts_with("# → "));
            let expected =
                told.iter().flat_map(|line| line["# → ".len()..].split(", ")).map(str::to_owned).collect();
            Block { commands: commands.join("\n"), expected }
        })
        .collect()
}

#[tokio::test]
async fn every_shell_block_does_what_it_says() {
    let demo = Demo::start().await;
    let blocks = blocks(include_str!("../../README.md"));
    assert!(blocks.len() >= 9);
    let mut script = String::from("set -u\n");
    for block in &blocks {
        let commands = block
            .commands
            .replace("127.0.0.1:19091", demo.address("gateway"))
            .replace("127.0.0.1:7070", demo.address("control_plane"))
            .replace("portreeve ", &format!("{PORTREEVE} "));
        write!(script, "echo '=== block'\n{commands}\necho\n").unwrap();
    }
    let output = tokio::process::Command::new("bash").arg("-c").arg(&script).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let outputs: Vec<&str> = text.split("=== block\n").skip(1).collect();
    assert_eq!(outputs.len(), blocks.len());
    for (block, output) in blocks.iter().zip(outputs) {
        assert!(!block.expected.is_empty(), "says nothing of its output: {}", block.commands);
        for expected in &block.expected {
            let holds = output.to_lowercase().contains(&expected.to_lowercase());
            assert!(holds, "no `{expected}` in the output of\n{}\n{output}", block.commands);
        }
    }
    demo.stop().await;
}
