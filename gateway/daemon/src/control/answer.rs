//! Answers: JSON, or what is wrong.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use buffer::StateError;
use serde_json::{Value, json};

use crate::chain;
use crate::refine::OperationError;

/// A handler's answer.
pub(super) type Answer = Result<Json<Value>, Problem>;

/// What is wrong with a request.
pub(super) struct Problem(StatusCode, String);

impl Problem {
    pub(super) fn wrong(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    pub(super) fn missing(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        match error {
            StateError::NoDelivery(_) | StateError::Gone(_) => Self::missing(error.to_string()),
            StateError::NotRefined(_) => Self::wrong(error.to_string()),
            error => Self(StatusCode::INTERNAL_SERVER_ERROR, chain(&error)),
        }
    }
}

impl From<buffer::ReadError> for Problem {
    fn from(error: buffer::ReadError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, chain(&error))
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::State(error) => error.into(),
            OperationError::Read(error) => error.into(),
            OperationError::NoCapture(_) | OperationError::NoConflict(_) | OperationError::NoPerson => {
                Self::missing(error.to_string())
            }
            error => Self::wrong(error.to_string()),
        }
    }
}

/// A path that this socket does not have.
pub(super) async fn not_here() -> Problem {
    Problem(
        StatusCode::FORBIDDEN,
        "this socket does not allow that; changes need operate.sock, persons need privacy.sock".to_owned(),
    )
}
