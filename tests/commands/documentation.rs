//! Every shell block of the pages about revisions and replicas, run as it stands there, in order; what it says of an
//! output holds.

use crate::{PORTREEVE, Scene, command, told};

fn fenced<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let mark = format!("```{language}\n");
    page.split(&mark).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn every_command_does_what_the_pages_say() {
    is_true(include_str!("../../docs/revisions.md"), 5).await;
    is_true(include_str!("../../docs/replicas.md"), 1).await;
}

async fn is_true(page: &str, least: usize) {
    let scene = Scene::begin().await;
    for text in fenced(page, "yaml") {
        if let Some(name) = text.lines().next().unwrap().strip_prefix("# ") {
            scene.write(name, text);
        }
    }
    let blocks = fenced(page, "sh");
    assert!(blocks.len() >= least, "{}", blocks.len());
    for block in blocks {
        let script = format!("set -e\nportreeve() {{ {PORTREEVE} \"$@\" 2>&1; }}\n{block}")
            .replace("curl ", "curl --silent --show-error ")
            .replace("127.0.0.1:7070", &scene.plane.address().to_string());
        let mut bash = command("bash", scene.folder.path(), &scene.url());
        let (code, output, errors) = told(&bash.arg("-c").arg(&script).output().await.unwrap());
        assert_eq!(code, 0, "{block}\n{output}\n{errors}");
        let expected = block.lines().filter_map(|line| line.strip_prefix("# → "));
        let expected: Vec<_> = expected.flat_map(|line| line.split(", ")).collect();
        let commands = block.lines().filter(|line| line.starts_with("portreeve") || line.starts_with("curl"));
        assert!(expected.len() >= commands.count(), "says nothing of an output: {block}");
        for expected in expected {
            assert!(output.contains(expected), "no `{expected}` in the output of\n{block}\n{output}");
        }
    }
    scene.plane.shutdown().await;
}
