//! A client's body between attempts: what an attempt has not read from can be sent again.

use crate::pipeline::Exchange;
use crate::policy::grpc::web::RequestTranslator;
use crate::server::request_body::{BodyEnd, RequestBody, Rules, Source};

/// A client's body between attempts.
pub(super) struct ClientBody {
    /// Not taken yet by an attempt that may have read from it.
    untouched: Option<Source>,
    pub(super) exists: bool,
    /// Only a body needs one.
    rules: Option<Rules>,
    translator: Option<RequestTranslator>,
}

impl ClientBody {
    pub(super) fn new(source: Source, exchange: &Exchange, translator: Option<RequestTranslator>) -> Self {
        let exists = source.exists();
        Self {
            untouched: exists.then_some(source),
            exists,
            rules: exists.then(|| Rules::of(exchange)),
            translator,
        }
    }

    pub(super) fn take(&mut self) -> RequestBody {
        match (self.untouched.take(), &self.rules) {
            (Some(source), Some(rules)) => RequestBody::new(source, rules.clone(), self.translator.take()),
            _ => RequestBody::none(),
        }
    }

    pub(super) fn put_back(&mut self, body: RequestBody) {
        if let Some((source, translator)) = body.into_source() {
            self.untouched = Some(source).filter(|_| self.exists);
            self.translator = translator;
        }
    }

    /// Whether an attempt has read from it.
    pub(super) fn is_lost(&self) -> bool {
        self.exists && self.untouched.is_none()
    }

    /// How far it has come.
    pub(super) fn end(&self) -> BodyEnd {
        self.rules.as_ref().map_or(BodyEnd::Whole, Rules::end)
    }
}
