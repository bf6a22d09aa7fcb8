//! Sockets that systemd opened before it started this process (socket activation, `sd_listen_fds(3)`).

use std::io;
use std::sync::OnceLock;

use listenfd::ListenFd;

use super::listener::Listening;

/// The socket with this `FileDescriptorName`, one more handle of it. It stays open in this process, and systemd has
/// it too: connections wait in it while nobody accepts.
pub(super) fn socket(name: &str) -> io::Result<Listening> {
    static GIVEN: OnceLock<Vec<(String, Listening)>> = OnceLock::new();
    // Read once: a descriptor that has been closed since could be anything.
    let given = GIVEN.get_or_init(received);
    match given.iter().find(|(known, _)| known == name) {
        Some((_, socket)) => socket.try_clone(),
        None => {
            let names: Vec<&str> = given.iter().map(|(name, _)| name.as_str()).collect();
            let why = match names.is_empty() {
                true => "systemd gave this process no sockets; start it through a .socket unit".to_owned(),
                false => format!("systemd gave no socket of this name, only: {}", names.join(", ")),
            };
            Err(io::Error::new(io::ErrorKind::NotFound, why))
        }
    }
}

fn received() -> Vec<(String, Listening)> {
    // The variables are inherited by processes that they are not for.
    if !is_for(std::env::var("LISTEN_PID").ok().as_deref(), std::process::id()) {
        return Vec::new();
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for (index, name) in names_of(&names, given.len()).into_iter().enumerate() {
        let tcp = given.take_tcp_listener(index).ok().flatten().map(Listening::Tcp);
        let unix = || given.take_unix_listener(index).ok().flatten().map(Listening::Unix);
        match tcp.or_else(unix).map(|socket| socket.set_nonblocking().map(|()| socket)) {
            Some(Ok(socket)) => sockets.push((name, socket)),
            _ => tracing::warn!(name, "systemd gave something that is no socket for streams; it is not used"),
        }
    }
    sockets
}

fn is_for(listen_pid: Option<&str>, own: u32) -> bool {
    listen_pid.and_then(|text| text.parse().ok()) == Some(own)
}

/// A name for each of `count` sockets; systemd calls those without one `unknown`.
fn names_of(text: &str, count: usize) -> Vec<String> {
    let named = text.split(':').map(|name| if name.is_empty() { "unknown" } else { name });
    named.chain(std::iter::repeat("unknown")).take(count).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_have_the_names_of_their_units() {
        assert_eq!(names_of("web:admin", 2), ["web", "admin"]);
        assert_eq!(names_of("web", 3), ["web", "unknown", "unknown"]);
        assert_eq!(names_of("", 1), ["unknown"]);
        assert!(names_of("web", 0).is_empty());
    }

    #[test]
    fn sockets_of_another_process_are_not_taken() {
        assert!(is_for(Some("17"), 17));
        for other in [None, Some(""), Some("18"), Some("x")] {
            assert!(!is_for(other, 17));
        }
    }
}
