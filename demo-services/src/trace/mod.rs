//! The service's own part in a trace: what a service written in any language would do with Zipkin. It takes
//! the context a request carries, records its spans, hands the context on in the same form, and reports.

mod context;
mod report;
mod span;

pub(crate) use context::TraceContext;
pub(crate) use report::Reporter;
pub(crate) use span::{OpenSpan, SpanKind, SpanStart};
