//! `GET /v1/backup`: everything as of now, as `portreeve control-plane restore` takes it back.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::backup::encode;
use crate::state::{Model, State as ControlState};

/// Backups that are made at one time; each takes a processor, and memory for all of it.
static AT_ONE_TIME: Semaphore = Semaphore::const_new(2);

/// `GET /v1/backup`
pub(super) async fn read(State(state): State<ControlState>) -> Result<Response, Problem> {
    let permit = AT_ONE_TIME.acquire().await;
    let contents = state.read(Model::contents);
    let name = format!("attachment; filename=\"portreeve-{}.backup\"", contents.revision);
    // Compressing takes a while, which a runtime's thread must not.
    let text = tokio::task::spawn_blocking(move || encode(&contents)).await;
    drop(permit);
    let text = text.ok().and_then(Result::ok);
    let text = text.ok_or_else(|| Problem::unavailable("the backup could not be written"))?;
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, text).into_response())
}
