//! The connection to the engine that started this program: GraphQL over HTTP on loopback.

use std::env;

use base64::Engine as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::Error;
use crate::query::Query;

/// A connection to the engine. May be used from several threads at once.
#[derive(Clone, Debug)]
pub struct Session {
    agent: ureq::Agent,
    url: String,
    authorization: String,
    /// So that what this program asks for shows below the function that was called.
    traceparent: Option<String>,
}

impl Session {
    /// The session that the engine names in the environment of what it starts.
    pub fn from_env() -> Result<Session, Error> {
        let variable = |name: &str| {
            env::var(name).map_err(|_| {
                Error::new(format!("{name} is not set: this program is a Dagger module, and the engine starts it."))
            })
        };
        let port = variable("DAGGER_SESSION_PORT")?;
        let port =
            port.parse().map_err(|_| Error::new(format!("DAGGER_SESSION_PORT is \"{port}\", which is no port.")))?;
        let mut session = Session::new(port, &variable("DAGGER_SESSION_TOKEN")?);
        session.traceparent = env::var("TRACEPARENT").ok();
        Ok(session)
    }

    pub fn new(port: u16, token: &str) -> Session {
        // No proxy: the engine is on loopback, whatever the environment says. No time limit: a build takes what it takes.
        let config = ureq::Agent::config_builder().proxy(None).http_status_as_error(false).build();
        let token = base64::engine::general_purpose::STANDARD.encode(format!("{token}:"));
        Session {
            agent: config.into(),
            url: format!("http://127.0.0.1:{port}/query"),
            authorization: format!("Basic {token}"),
            traceparent: None,
        }
    }

    /// Sends one operation and gives its `data`.
    pub fn request(&self, operation: &str) -> Result<Value, Error> {
        let mut request = self.agent.post(&self.url).header("authorization", &self.authorization);
        request = request.header("content-type", "application/json");
        if let Some(traceparent) = &self.traceparent {
            request = request.header("traceparent", traceparent);
        }
        let body = json!({ "query": operation }).to_string();
        let mut response =
            request.send(&body).map_err(|error| Error::new(format!("The engine cannot be reached: {error}.")))?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(u64::MAX).read_to_string()?;
        let answer: Value = match serde_json::from_str(&text) {
            Ok(answer) => answer,
            Err(_) => return Err(Error::new(format!("The engine answered {status}: {}", text.trim()))),
        };
        match Error::from_answer(&answer["errors"]) {
            Some(error) => Err(error),
            None => Ok(answer["data"].clone()),
        }
    }

    /// What a chain of calls leads to.
    pub fn get<T: DeserializeOwned>(&self, query: &Query) -> Result<T, Error> {
        let mut answer = self.request(&query.to_string())?;
        for name in query.path() {
            answer = answer[name].take();
        }
        serde_json::from_value(answer)
            .map_err(|error| Error::new(format!("The engine's answer to {query} is not what was expected: {error}.")))
    }

    /// The id of the object that a chain of calls leads to. This alone does not make the engine run anything.
    pub fn id(&self, query: &Query) -> Result<String, Error> {
        self.get(&query.clone().call("id"))
    }

    /// Makes the engine do what the object stands for, and gives its id. For containers, directories and files.
    pub fn sync(&self, query: &Query) -> Result<String, Error> {
        self.get(&query.clone().call("sync"))
    }

    /// The ids of several objects by one request.
    pub(crate) fn ids(&self, queries: &[Query]) -> Result<Vec<String>, Error> {
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let mut operation = String::from("{");
        for (place, query) in queries.iter().enumerate() {
            operation.push_str(&format!("q{place}:{} ", query.clone().call("id").selection()));
        }
        operation.push('}');
        let answer = self.request(&operation)?;
        let id = |(place, query): (usize, &Query)| {
            let mut value = &answer[format!("q{place}").as_str()];
            for name in query.path().skip(1).chain(["id"]) {
                value = &value[name];
            }
            value.as_str().map(str::to_owned).ok_or_else(|| Error::new(format!("The engine gave no id for {query}.")))
        };
        queries.iter().enumerate().map(id).collect()
    }
}
