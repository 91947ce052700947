//! The connection to the engine that started this program: `dagger-sdk`'s own client, on loopback.

use std::collections::HashMap;
use std::env;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use dagger_sdk::core::gql_client::{ClientConfig, GQLClient, GQLProxy, ProxyType};
use dagger_sdk::core::graphql_client::{GraphQLClient, GraphQLError};
use dagger_sdk::{Query, Selection};
use serde_json::Value;

use crate::error::Error;

/// The root of the API, in the session that the engine names in the environment of what it starts.
pub fn from_env() -> Result<Query, Error> {
    let variable = |name: &str| {
        env::var(name).map_err(|_| {
            Error::new(format!("{name} is not set: this program is a Dagger module, and the engine starts it."))
        })
    };
    let port = variable("DAGGER_SESSION_PORT")?;
    let port = port.parse().map_err(|_| Error::new(format!("DAGGER_SESSION_PORT is \"{port}\", which is no port.")))?;
    Ok(connect(port, &variable("DAGGER_SESSION_TOKEN")?, env::var("TRACEPARENT").ok()))
}

/// The root of the API of the session on this port of loopback. With the caller's trace, what is asked for shows below the
/// function that was called.
pub fn connect(port: u16, token: &str, traceparent: Option<String>) -> Query {
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{token}:"));
    let mut headers = HashMap::from([("authorization".to_owned(), format!("Basic {token}"))]);
    headers.extend(traceparent.map(|trace| ("traceparent".to_owned(), trace)));
    let endpoint = format!("http://127.0.0.1:{port}/query");
    // A proxy for https alone: with one of its own, the client leaves those of the environment aside, and the engine is
    // reached without any.
    let proxy = GQLProxy { schema: "http://127.0.0.1:9".to_owned(), type_: ProxyType::Https, auth: None };
    // No time limit: a build takes what it takes.
    let config = ClientConfig {
        endpoint,
        execute_timeout_ms: None,
        connect_timeout_ms: None,
        headers: Some(headers),
        proxy: Some(proxy),
    };
    let client = Client(GQLClient::new_with_config(config));
    Query { proc: None, selection: Selection::default(), graphql_client: Arc::new(client) }
}

struct Client(GQLClient);

#[async_trait]
impl GraphQLClient for Client {
    async fn query(&self, query: &str) -> Result<Option<Value>, GraphQLError> {
        self.0.query(query).await.map_err(|error| match error.json().unwrap_or_default() {
            fields if fields.is_empty() => GraphQLError::HttpError(error.message().to_owned()),
            fields => GraphQLError::DomainError { message: fields[0].message.clone(), fields },
        })
    }
}
