//! A request's JSON body, read field by field so that a client learns of all its mistakes at once.
//!
//! Text that is no JSON is a 400, a body over the limit a 413, another media type a 415; JSON that does not
//! fit is a 422 with one entry for each fault.

use std::ops::RangeInclusive;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use crate::money::Cents;
use crate::problem::{FieldFault, Problem};

/// The largest body any service takes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The fields of a JSON object. Each reader takes one field; what is left unread at [`Fields::finish`] is
/// refused as unknown. A reader that finds a fault returns a placeholder that `finish` keeps from being used.
pub(crate) struct Fields {
    values: Map<String, Value>,
    pointer: String,
    faults: Vec<FieldFault>,
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let media_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !media_type.is_some_and(is_json) {
            let detail = "the body must be JSON: send it with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(values)) => Ok(Self { values, pointer: "#".to_owned(), faults: Vec::new() }),
            Ok(_) => Err(Problem::fields(vec![fault("#".to_owned(), "must be a JSON object")])),
            Err(error) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, format!("the body is not valid JSON: {error}")))
            }
        }
    }
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn unread(rejection: BytesRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {} KiB", MAX_BODY / 1024),
        ),
        _ => Problem::new(StatusCode::BAD_REQUEST, "the body could not be read to its end"),
    }
}

impl Fields {
    /// A text whose number of characters lies in `length`, without control characters.
    pub(crate) fn text(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        let text = self.required(name).and_then(|value| self.checked_text(name, value, length));
        text.unwrap_or_default()
    }

    /// The same, where the field may be absent or null.
    pub(crate) fn optional_text(&mut self, name: &str, length: RangeInclusive<usize>) -> Option<String> {
        let value = self.values.shift_remove(name).filter(|value| !value.is_null())?;
        self.checked_text(name, value, length)
    }

    /// A text that may hold anything, for passwords.
    pub(crate) fn secret(&mut self, name: &str, length: RangeInclusive<usize>) -> String {
        let text = self.required(name).and_then(|value| self.text_of_length(name, value, length));
        text.unwrap_or_default()
    }

    /// A user's name in the shop.
    pub(crate) fn user_id(&mut self, name: &str) -> String {
        let id = self.text(name, 1..=MAX_USER_ID);
        if !id.is_empty() && !is_user_id(&id) {
            self.refuse(name, USER_ID_RULE);
        }
        id
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&mut self, name: &str, bounds: RangeInclusive<i64>) -> i64 {
        let Some(value) = self.required(name) else { return 0 };
        value.as_i64().filter(|number| bounds.contains(number)).unwrap_or_else(|| {
            let limits = format!("must be a whole number from {} to {}", bounds.start(), bounds.end());
            self.refuse(name, &limits);
            0
        })
    }

    /// An amount of money up to `limit`.
    pub(crate) fn money(&mut self, name: &str, limit: Cents) -> Cents {
        let Some(value) = self.required(name) else { return Cents::default() };
        let amount = value.as_f64().and_then(Cents::from_number).filter(|amount| *amount <= limit);
        amount.unwrap_or_else(|| {
            let limit = limit.0 / 100;
            self.refuse(name, &format!("must be a number from 0 to {limit} with at most two decimals"));
            Cents::default()
        })
    }

    /// A list of whole numbers from 1 on.
    pub(crate) fn numbers(&mut self, name: &str, length: RangeInclusive<usize>) -> Vec<i64> {
        let mut numbers = Vec::new();
        for (index, value) in self.list(name, length).into_iter().enumerate() {
            match value.as_i64().filter(|number| *number > 0) {
                Some(number) => numbers.push(number),
                None => self.refuse(&format!("{name}/{index}"), "must be a whole number from 1 on"),
            }
        }
        numbers
    }

    /// A list of objects, each read by `read`.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        length: RangeInclusive<usize>,
        read: impl Fn(&mut Fields) -> T,
    ) -> Vec<T> {
        let mut objects = Vec::new();
        for (index, value) in self.list(name, length).into_iter().enumerate() {
            let Value::Object(values) = value else {
                self.refuse(&format!("{name}/{index}"), "must be an object");
                continue;
            };
            let pointer = format!("{}/{name}/{index}", self.pointer);
            let mut fields = Fields { values, pointer, faults: Vec::new() };
            objects.push(read(&mut fields));
            fields.refuse_unread();
            self.faults.append(&mut fields.faults);
        }
        objects
    }

    /// Adds a fault of `name` that the readers here cannot see.
    pub(crate) fn refuse(&mut self, name: &str, detail: &str) {
        self.faults.push(fault(format!("{}/{name}", self.pointer), detail));
    }

    /// Every fault found so far, together with every field nobody asked for.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        self.refuse_unread();
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::fields(self.faults)) }
    }

    fn required(&mut self, name: &str) -> Option<Value> {
        let value = self.values.shift_remove(name);
        if value.is_none() {
            self.refuse(name, "is missing");
        }
        value
    }

    fn checked_text(&mut self, name: &str, value: Value, length: RangeInclusive<usize>) -> Option<String> {
        let text = self.text_of_length(name, value, length)?;
        if text.chars().any(char::is_control) {
            self.refuse(name, "must not hold control characters");
            return None;
        }
        Some(text)
    }

    fn text_of_length(&mut self, name: &str, value: Value, length: RangeInclusive<usize>) -> Option<String> {
        match value {
            Value::String(text) if length.contains(&text.chars().count()) => return Some(text),
            Value::String(_) => {
                let limits = format!("must have {} to {} characters", length.start(), length.end());
                self.refuse(name, &limits);
            }
            _ => self.refuse(name, "must be a string"),
        }
        None
    }

    fn list(&mut self, name: &str, length: RangeInclusive<usize>) -> Vec<Value> {
        match self.required(name) {
            Some(Value::Array(values)) if length.contains(&values.len()) => return values,
            Some(_) => {
                let limits = format!("must be a list of {} to {} entries", length.start(), length.end());
                self.refuse(name, &limits);
            }
            None => {}
        }
        Vec::new()
    }

    fn refuse_unread(&mut self) {
        let names: Vec<String> = self.values.keys().map(|name| name.chars().take(64).collect()).collect();
        for name in names {
            self.refuse(&name.replace('~', "~0").replace('/', "~1"), "is not a field of this request");
        }
    }
}

fn fault(pointer: String, detail: &str) -> FieldFault {
    FieldFault { pointer, detail: detail.to_owned() }
}

/// The longest name of a user, in characters.
pub(crate) const MAX_USER_ID: usize = 64;

/// What [`is_user_id`] wants, in words.
pub(crate) const USER_ID_RULE: &str = "must be 1 to 64 of A-Z a-z 0-9 . _ -";

/// Whether a text can name a user. These names travel in header fields and tokens, hence so few characters.
pub(crate) fn is_user_id(text: &str) -> bool {
    (1..=MAX_USER_ID).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
