//! What the shop tells the world about orders. Events are written into the outbox together with what they
//! tell of, and delivered from there at least once; the event's id lets a receiver drop the second copy.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::saga::{CALL_LIMIT, claim_until, pause};
use super::store::{Outbox, QueuedEvent};
use crate::clock;
use crate::database::StorageError;
use crate::money::Cents;
use crate::outbound::{Call, CallError, Outbound};
use crate::trace::TraceContext;

/// How often the outbox is looked at when nobody says that there is something in it.
const DELIVER_EVERY: Duration = Duration::from_secs(1);

/// Something that happened to an order and cannot be undone any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    OrderConfirmed { order_id: String, user_id: String, total: Cents },
    ProductAdded { order_id: String, user_id: String, total: Cents },
}

/// Where events go. A message broker is another implementation.
pub(super) trait Events: Send + Sync {
    /// Hands one event over, for good.
    fn publish<'a>(&'a self, id: &'a str, event: &'a Event, trace: &'a TraceContext) -> Published<'a>;
}

/// What became of a publication.
pub(super) type Published<'a> = Pin<Box<dyn Future<Output = Result<(), PublishError>> + Send + 'a>>;

/// Why an event was not handed over.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// It never will be taken.
    #[error("the receiver refused it with {0}")]
    Refused(http::StatusCode),
}

/// Events as mail to the user, by the notifications service.
pub(super) struct MailByHttp {
    outbound: Outbound,
}

impl MailByHttp {
    pub(super) fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }
}

impl Events for MailByHttp {
    fn publish<'a>(&'a self, id: &'a str, event: &'a Event, trace: &'a TraceContext) -> Published<'a> {
        let (user_id, message) = letter(event);
        let body =
            json!({ "user_id": user_id, "channel": "mail", "message": message, "idempotency_key": id });
        let call = Call {
            service: "notifications",
            method: Method::POST,
            path: "/notifications/send".to_owned(),
            body: Some(body),
            limit: CALL_LIMIT,
        };
        Box::pin(async move {
            match self.outbound.call(trace, call).await?.status {
                status if status.is_success() => Ok(()),
                status => Err(PublishError::Refused(status)),
            }
        })
    }
}

fn letter(event: &Event) -> (&str, String) {
    let total = |total: &Cents| format!("{}.{:02}", total.0 / 100, total.0 % 100);
    match event {
        Event::OrderConfirmed { order_id, user_id, total: sum } => {
            (user_id, format!("Your order {order_id} is confirmed. Total: {}", total(sum)))
        }
        Event::ProductAdded { order_id, user_id, total: sum } => {
            (user_id, format!("A product was added to your order {order_id}. Total: {}", total(sum)))
        }
    }
}

/// Takes events from the outbox to where they go.
pub(super) struct Courier {
    outbox: Arc<dyn Outbox>,
    events: Box<dyn Events>,
    waiting: Notify,
}

impl Courier {
    pub(super) fn new(outbox: Arc<dyn Outbox>, events: Box<dyn Events>) -> Self {
        Self { outbox, events, waiting: Notify::new() }
    }

    /// Says that there is something in the outbox.
    pub(super) fn hurry(&self) {
        self.waiting.notify_one();
    }

    pub(super) async fn deliver_until(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            if let Err(error) = self.deliver(&stopped).await {
                tracing::error!(%error, "the outbox cannot be read");
            }
            tokio::select! {
                () = self.waiting.notified() => {}
                () = sleep(DELIVER_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
    }

    async fn deliver(&self, stopped: &watch::Receiver<bool>) -> Result<(), StorageError> {
        while !*stopped.borrow() {
            let Some(queued) = self.outbox.next(clock::milliseconds(), claim_until()).await? else {
                return Ok(());
            };
            self.deliver_one(queued).await?;
        }
        Ok(())
    }

    async fn deliver_one(&self, queued: QueuedEvent) -> Result<(), StorageError> {
        match self.events.publish(&queued.event_id, &queued.event, &queued.trace).await {
            Ok(()) => self.outbox.delivered(queued.event_id).await,
            Err(PublishError::Refused(status)) => {
                tracing::error!(event = queued.event_id, %status, "an event was refused; it is kept, undelivered");
                self.outbox.deliver_at(queued.event_id, None).await
            }
            Err(PublishError::Call(error)) => {
                tracing::warn!(event = queued.event_id, %error, "an event is not delivered yet");
                self.outbox
                    .deliver_at(queued.event_id, Some(clock::milliseconds() + pause(queued.attempts)))
                    .await
            }
        }
    }
}
