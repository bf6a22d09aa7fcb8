//! What clients may send and hold, all of it with a default: the one table of limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Period};

/// Limits on what a client may send or hold. Reaching one costs the client that reaches it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// All header fields of a request together with its request line; 431 beyond it. Fields of HTTP/2 are counted as
    /// RFC 9113 (6.5.2) does: 32 bytes more for each.
    pub header_bytes: ByteSize,
    /// The number of header fields of a request; 431 beyond it. Trailers have limits of their own: 32 fields, 8 KiB.
    pub header_count: usize,
    /// One header field, name and value; 431 beyond it.
    pub header_line: ByteSize,
    /// The request's target; 414 beyond it.
    pub target_bytes: ByteSize,
    /// How long a client may take to send a request's head, from its first byte (and from the connection's begin for
    /// the first request); 408 and the end of the connection after it. A TLS handshake and a PROXY header have the same
    /// time.
    pub header_timeout: Period,
    /// How long a client's connection may be idle between two requests, and a tunnel (WebSocket) in both directions.
    pub idle_timeout: Period,
    /// The least bytes a second that a client must send of a request's body (in HTTP/2 until the answer begins, and not
    /// in calls of gRPC, which may rest), and take of an answer, as long as it is the client that is waited for; 408, or
    /// the end of the connection. Measured over `rate_window`; 0 asks for nothing, but that a client of HTTP/2 takes
    /// something within `idle_timeout`.
    pub min_rate: ByteSize,
    /// Over how long `min_rate` is measured; the first measure is due when this has passed.
    pub rate_window: Period,
    /// How long a whole request may take, from its head to the last byte of its answer; no limit when absent.
    /// WebSocket tunnels have `tunnel_age`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_age: Option<Period>,
    /// How long a tunnel (WebSocket) may live.
    pub tunnel_age: Period,
    /// After how long a connection is ended in good order (`Connection: close`, GOAWAY), a tenth more or less so that
    /// not all clients come back at once.
    pub connection_age: Period,
    /// Requests by one connection; it is ended in good order after the last.
    pub requests_per_connection: u64,
    /// Connections from clients at one time, over all listeners and workers.
    pub connections: usize,
    /// Connections at one time from one client address (an IPv6 /64 counts as one). Unix sockets are not counted.
    pub connections_per_client: usize,
    /// Memory for data on its way, an equal share of it for each worker; new requests get 503 with `Retry-After` beyond
    /// it. Counted are the buffers of HTTP/1 and, of HTTP/2, data that came and was not passed on, and data of answers that
    /// the client does not take. Beside it a connection to an instance of HTTP/2 may hold 16 KiB of each request.
    pub buffers: ByteSize,
    /// HTTP/2.
    pub http2: Http2Limits,
    /// How long a connection to an instance may take to be made, TLS included.
    pub connect_timeout: Period,
    /// How long an idle connection to an instance is kept.
    pub upstream_idle: Period,
    /// How long requests in flight get to finish when the process is asked to stop.
    pub drain: Period,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: ByteSize::kib(32),
            header_count: 100,
            header_line: ByteSize::kib(16),
            target_bytes: ByteSize::kib(8),
            header_timeout: Period::from_secs(10),
            idle_timeout: Period::from_secs(60),
            min_rate: ByteSize(240),
            rate_window: Period::from_secs(10),
            request_age: None,
            tunnel_age: Period::from_secs(24 * 3600),
            connection_age: Period::from_secs(3600),
            requests_per_connection: 1_000_000,
            connections: 10_000,
            connections_per_client: 2_500,
            buffers: ByteSize::mib(512),
            http2: Http2Limits::default(),
            connect_timeout: Period::from_secs(1),
            upstream_idle: Period::from_secs(30),
            drain: Period::from_secs(10),
        }
    }
}

/// Limits of one HTTP/2 connection from a client. Beyond any of the floods' limits the connection ends with GOAWAY
/// `ENHANCE_YOUR_CALM`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2Limits {
    /// Streams that are open at one time.
    pub streams: u32,
    /// What a client may send of one body before it was passed on (the stream's flow-control window).
    pub stream_window: ByteSize,
    /// The same for the whole connection.
    pub connection_window: ByteSize,
    /// Streams that a client reset, and that are still being cleared away (rapid reset, CVE-2023-44487).
    pub reset_streams: usize,
    /// Streams that were reset because of a client's own faults in a connection's life (MadeYouReset, CVE-2025-8671).
    pub faulty_streams: usize,
    /// Frames that carry nothing forward (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty DATA and
    /// CONTINUATION) in ten seconds, beside one for each frame that does and for each 512 bytes sent to the client.
    pub idle_frames: u32,
    /// A PING is sent when a connection with open streams was silent for this long; one that does not answer for as
    /// long again is closed.
    pub ping_interval: Period,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window: ByteSize::kib(64),
            connection_window: ByteSize::mib(1),
            reset_streams: 32,
            faulty_streams: 128,
            idle_frames: 1_000,
            ping_interval: Period::from_secs(30),
        }
    }
}
