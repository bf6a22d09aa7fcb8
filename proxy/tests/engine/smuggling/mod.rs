//! Requests that could be read in two ways, family by family: whatever a client writes, either everybody reads the same
//! request or nobody gets one. Each case is a name and bytes; a family has one gateway and one origin.

mod chunks;
mod codings;
mod expectations;
mod fields;
mod hosts;
mod leftovers;
mod lengths;
mod limits;
mod lines;
mod paths;
mod trailers;
mod upgrades;

use portreeve_proxy::Gateway;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::client::{Answer, Client};
use crate::origin::{Origin, Seen};
use crate::stage::{config, everything, start, with};

/// A request behind each case, all in order by itself; whoever misjudges where the case ends shows it.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A gateway and an origin for many cases, and what was wrong with them.
struct Family {
    gateway: Gateway,
    origin: Origin,
    wrong: Vec<String>,
}

/// What a case led to.
struct Outcome {
    answers: Vec<Answer>,
    /// What the origin took for whole requests.
    reached: Vec<Seen>,
    /// Bytes that came to the origin, of whole requests or not.
    bytes: usize,
}

impl Family {
    async fn new() -> Self {
        Self::with_routes(everything()).await
    }

    async fn with_routes(routes: Value) -> Self {
        Self::with(|settings| with(settings, "routes", routes)).await
    }

    async fn with(change: impl FnOnce(Value) -> Value) -> Self {
        let origin = Origin::saying("ok").await;
        // A gateway that waits for more ends the case soon, and not with the status that is wanted.
        let limits = json!({"header_timeout": "2s", "idle_timeout": "2s", "rate_window": "1s"});
        let settings = change(with(config(&[&origin], everything()), "limits", limits));
        Self { gateway: start(settings).await, origin, wrong: Vec::new() }
    }

    /// Sends the bytes and all of [`NEXT`] by a connection of their own, and reads to its end.
    async fn outcome(&self, bytes: &[u8]) -> Outcome {
        let (seen, received) = (self.origin.count(), self.origin.bytes());
        let mut client = Client::connect(self.gateway.local_addrs().listen).await;
        // The gateway may close before all of it was taken.
        let _ = client.stream.write_all(&[bytes, NEXT].concat()).await;
        let mut answers = Vec::new();
        while let Some(answer) = client.answer_or_end("GET").await {
            answers.push(answer);
        }
        answers.retain(|answer| answer.status >= 200);
        let reached = self.origin.seen().split_off(seen);
        Outcome { answers, reached, bytes: self.origin.bytes() - received }
    }

    /// Refused with one of these statuses and the end of the connection, before the origin got a byte.
    async fn refused_with(&mut self, statuses: &[u16], name: &str, bytes: impl AsRef<[u8]>) {
        let outcome = self.outcome(bytes.as_ref()).await;
        if let Some(fault) = outcome.refusal_fault(statuses) {
            self.note(name, bytes.as_ref(), &fault, &outcome);
        }
    }

    async fn refused(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.refused_with(&[400], name, bytes).await;
    }

    /// The body is not what it should be.
    async fn broken(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        let outcome = self.outcome(bytes.as_ref()).await;
        if !outcome.is_broken() {
            self.note(name, bytes.as_ref(), "400 or nothing, and no whole request", &outcome);
        }
    }

    /// Served, and the request behind it too. `holds` says whether the origin got it right.
    async fn served(&mut self, name: &str, bytes: impl AsRef<[u8]>, holds: impl FnOnce(&Seen) -> bool) {
        let outcome = self.outcome(bytes.as_ref()).await;
        if !outcome.is_served(holds) {
            self.note(name, bytes.as_ref(), "200 twice, and the origin to get it right", &outcome);
        }
    }

    /// Refused or served; both are sound readings.
    async fn either(&mut self, name: &str, bytes: impl AsRef<[u8]>, holds: impl FnOnce(&Seen) -> bool) {
        let outcome = self.outcome(bytes.as_ref()).await;
        if outcome.refusal_fault(&[400]).is_some() && !outcome.is_served(holds) {
            self.note(name, bytes.as_ref(), "400, or 200 and the origin to get it right", &outcome);
        }
    }

    fn note(&mut self, name: &str, bytes: &[u8], wanted: &str, outcome: &Outcome) {
        let start = bytes[..bytes.len().min(300)].escape_ascii();
        let reached: Vec<&str> = outcome.reached.iter().map(Seen::line).collect();
        let (got, count) = (outcome.statuses(), outcome.bytes);
        self.wrong.push(format!(
            "{name}: wanted {wanted}; got {got:?}, and the origin {count} bytes {reached:?}\n    {start}"
        ));
    }

    /// Ends the family; every case that went wrong is told at once.
    #[track_caller]
    fn end(self) -> impl Future<Output = ()> {
        let Self { gateway, wrong, .. } = self;
        assert!(wrong.is_empty(), "{} cases went wrong:\n{}", wrong.len(), wrong.join("\n"));
        gateway.shutdown()
    }
}

impl Outcome {
    fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }

    /// 400, or 413 for what claims to be huge, or no answer; and no whole request for the origin.
    fn is_broken(&self) -> bool {
        matches!(self.statuses()[..], [] | [400 | 413]) && self.reached.is_empty()
    }

    fn is_served(&self, holds: impl FnOnce(&Seen) -> bool) -> bool {
        let both = self.statuses() == [200, 200] && self.reached.len() == 2;
        both && self.reached[1].line() == "GET /next HTTP/1.1" && holds(&self.reached[0])
    }

    /// Why this is not the refusal that it should be.
    fn refusal_fault(&self, statuses: &[u16]) -> Option<String> {
        let [answer] = &self.answers[..] else { return Some(format!("one answer of {statuses:?}")) };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let faults = [
            (statuses.contains(&answer.status), format!("{statuses:?}")),
            (answer.field("content-type") == Some("application/problem+json"), "a problem as JSON".into()),
            (body["status"] == answer.status, "the status in the problem".into()),
            // For a client of HTTP/1.0 that goes without saying.
            (matches!(answer.field("connection"), None | Some("close")), "no `keep-alive`".into()),
            (self.bytes == 0, "nothing to reach the origin".into()),
        ];
        faults.into_iter().find(|(holds, _)| !holds).map(|(_, fault)| fault)
    }
}

/// The bytes of a POST with these field lines, and what follows its head.
fn post(fields: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nhost: a\r\n", fields.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// The bytes of a GET with these field lines.
fn get(fields: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nhost: a\r\n", fields.as_ref(), b"\r\n"].concat()
}
