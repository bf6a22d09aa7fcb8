//! Every shell block of the page about TLS and tokens, run as it stands there, in order, in one shell.

use std::net::TcpListener;

use crate::stage::{is_installed, shell};

const PAGE: &str = include_str!("../../docs/tls.md");

fn fenced(language: &str) -> Vec<&'static str> {
    let mark = format!("```{language}\n");
    PAGE.split(&mark).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Ports that were free a moment ago, in place of those of the page.
fn with_free_ports(text: &str) -> String {
    let held: Vec<_> = (0..4).map(|_| TcpListener::bind("0.0.0.0:0").unwrap()).collect();
    let ports = ["7070", "8080", "8081", "9000"].iter().zip(&held);
    ports.fold(text.to_owned(), |text, (written, held)| {
        text.replace(written, &held.local_addr().unwrap().port().to_string())
    })
}

#[tokio::test]
async fn every_command_of_the_page_works_as_it_is_written() {
    if !["openssl", "curl", "python3"].into_iter().all(is_installed) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let named = |text: &&str| text.starts_with("# ");
    let (mut files, mut names) = (String::new(), Vec::new());
    for text in fenced("yaml").into_iter().filter(named) {
        let name = text.lines().next().unwrap().trim_start_matches("# ");
        // A later file of the same name is another way to do it.
        if !names.contains(&name) {
            names.push(name);
            files.push_str(&format!("cat > {name} <<'END'\n{text}END\n"));
        }
    }
    assert_eq!(names, ["control-plane.yaml", "gateway.yaml"]);
    let blocks = fenced("sh");
    assert_eq!(blocks.len(), 5);
    let script = format!(
        "set -e\ntrap 'kill $(jobs -p) 2> /dev/null; wait' EXIT\nunset ${{!PORTREEVE_@}}\n\
         mkdir bin; ln -s {} bin/portreeve; PATH=$PWD/bin:$PATH\n{files}{}\necho all is well\n",
        env!("CARGO_BIN_EXE_portreeve"),
        blocks.concat().replace("curl ", "curl --silent --show-error "),
    );
    let told = shell(folder.path(), &with_free_ports(&script)).await;
    for part in ["all is well", "\"orders\"", "BEGIN CERTIFICATE", "gateway-"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
}
