//! How a function's result goes back. The only operations that are written as text: the engine answers both with nothing,
//! and `dagger-sdk` 0.21.7 takes nothing for a failure (`Unpack`), after the engine has done what it was asked for.

use dagger_sdk::{Id, Json, Query};
use serde_json::Value;

use crate::error::Error;

pub async fn value(dagger: &Query, value: &Value) -> Result<(), Error> {
    send(dagger, "returnValue", "value", &value.to_string()).await
}

pub async fn error(dagger: &Query, error: &Error) -> Result<(), Error> {
    let mut made = dagger.error(error.message());
    for (name, value) in error.values() {
        made = made.with_value(name, Json(value.to_string()));
    }
    let Id(id) = made.id().await?;
    send(dagger, "returnError", "error", &id).await
}

async fn send(dagger: &Query, field: &str, argument: &str, text: &str) -> Result<(), Error> {
    // A JSON string is a GraphQL string.
    let text = Value::from(text);
    let operation = format!("{{currentFunctionCall{{{field}({argument}:{text})}}}}");
    dagger.graphql_client.query(&operation).await.map_err(dagger_sdk::errors::DaggerError::Query)?;
    Ok(())
}
