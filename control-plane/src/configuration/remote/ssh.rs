//! A repository behind `ssh`, by way of the system's own program: it knows people's keys, agents and hosts. It is never
//! asked anything it would have to ask a person, and ended when it takes too long.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::protocol::transport::Protocol;
use gix_transport::client::git::ConnectMode;
use gix_transport::client::git::blocking_io::Connection;
use portreeve_config::SshConfig;

use super::{AnyError, Limit};
use crate::state::excerpt;

/// It asks nobody, gives up on hosts that do not answer, and says which version of git's protocol is spoken.
const OPTIONS: [&str; 5] = [
    "BatchMode=yes",
    "ConnectTimeout=5",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "SendEnv=GIT_PROTOCOL",
];
/// How often the time of a fetch is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What is kept of its complaints.
const COMPLAINTS: usize = 3;

/// Where the repository is, and how it is reached.
#[derive(Debug)]
pub(super) struct Ssh {
    config: SshConfig,
    destination: String,
    port: Option<u16>,
    path: String,
}

/// A program that runs for one fetch, and ends with this.
pub(super) struct Running {
    complaints: Arc<Mutex<Vec<String>>>,
    _until_dropped: mpsc::Sender<()>,
}

impl Ssh {
    /// The place that a URL names, where `ssh` leads there.
    pub(super) fn of(uri: &str, config: &SshConfig) -> Option<Self> {
        let url = gix::url::parse(uri).ok().filter(|url| url.scheme == gix::url::Scheme::Ssh)?;
        let host = url.host()?;
        let destination = url.user().map_or_else(|| host.to_owned(), |user| format!("{user}@{host}"));
        let path = String::from_utf8_lossy(&url.path).into_owned();
        // `/~ada/x` is a path below somebody's home, which only a shell without the slash understands.
        let path = if path.starts_with("/~") { path[1..].to_owned() } else { path };
        Some(Self { config: config.clone(), destination, port: url.port, path })
    }

    /// Starts the program. It is killed at the limit, so that whoever reads from it goes on.
    pub(super) fn connect(
        &self,
        limit: Limit,
    ) -> Result<(Connection<ChildStdout, ChildStdin>, Running), AnyError> {
        let program = self.config.program.display();
        let mut child =
            self.command().spawn().map_err(|fault| format!("`{program}` cannot be started: {fault}"))?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(format!("`{program}` has no pipes").into());
        };
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = complaints.clone();
        let (until_dropped, over) = mpsc::channel();
        std::thread::Builder::new().name("ssh-errors".to_owned()).spawn(move || listen(errors, &heard))?;
        std::thread::Builder::new()
            .name("ssh-watch".to_owned())
            .spawn(move || watch(child, &over, &limit))?;
        let connection = Connection::new(
            output,
            input,
            Protocol::V2,
            self.path.as_str(),
            None::<(String, Option<u16>)>,
            ConnectMode::Process,
            false,
        );
        Ok((connection, Running { complaints, _until_dropped: until_dropped }))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.config.program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("GIT_PROTOCOL", "version=2");
        for option in OPTIONS {
            command.args(["-o", option]);
        }
        if let Some(file) = &self.config.known_hosts_file {
            command.arg("-o").arg(format!("UserKnownHostsFile=\"{}\"", file.display()));
        }
        if let Some(file) = &self.config.key_file {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(file);
        }
        if let Some(port) = self.port {
            command.arg("-p").arg(port.to_string());
        }
        // The host's shell reads this line, so the path is quoted for it.
        let path = self.path.replace('\'', "'\\''");
        command.args(["--", &self.destination, &format!("git-upload-pack '{path}'")]);
        command
    }
}

impl Running {
    /// A fault with what the program said of it.
    pub(super) fn explained(&self, fault: String) -> String {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match complaints.is_empty() {
            true => fault,
            false => format!("{fault}; ssh said: {}", complaints.join("; ")),
        }
    }
}

/// Keeps the last lines of what a program says of its faults.
fn listen(errors: ChildStderr, heard: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(errors);
    let mut line = Vec::new();
    while matches!(std::io::Read::take(&mut lines, 1024).read_until(b'\n', &mut line), Ok(1..)) {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() >= COMPLAINTS {
            heard.remove(0);
        }
        heard.push(excerpt(String::from_utf8_lossy(&line).trim()));
        line.clear();
    }
}

/// Waits until the fetch is over or its time is; either way no process is left.
fn watch(mut child: Child, over: &mpsc::Receiver<()>, limit: &Limit) {
    while !limit.left().is_zero() {
        if over.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    // It ends by itself when its input does.
    for _ in 0..20 {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn line(uri: &str, config: &SshConfig) -> String {
        let command = Ssh::of(uri, config).unwrap().command();
        let arguments = command.get_args().map(|argument| argument.to_str().unwrap());
        arguments.skip(2 * OPTIONS.len()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn both_forms_of_a_url_name_host_and_path() {
        let plain = SshConfig::default();
        for (uri, expected) in [
            ("git@host:shop/config.git", "-- git@host git-upload-pack 'shop/config.git'"),
            ("host:/srv/x", "-- host git-upload-pack '/srv/x'"),
            ("ssh://git@host:2222/srv/x", "-p 2222 -- git@host git-upload-pack '/srv/x'"),
            ("ssh://host/~ada/x", "-- host git-upload-pack '~ada/x'"),
            ("git@host:it's; rm -rf x", "-- git@host git-upload-pack 'it'\\''s; rm -rf x'"),
        ] {
            assert_eq!(line(uri, &plain), expected, "{uri}");
        }
        let named = SshConfig {
            key_file: Some("/k".into()),
            known_hosts_file: Some("/h s".into()),
            ..SshConfig::default()
        };
        let expected =
            "-o UserKnownHostsFile=\"/h s\" -o IdentitiesOnly=yes -i /k -- a@b git-upload-pack 'c'";
        assert_eq!(line("a@b:c", &named), expected);
        assert!(Ssh::of("https://host/x", &plain).is_none() && Ssh::of("/srv/x", &plain).is_none());
    }
}
