//! What goes wrong, as the engine can show it: a message, and details by name.

use std::any::Any;
use std::fmt;

use dagger_sdk::core::gql_client::GraphQlExtension;
use dagger_sdk::core::graphql_client::GraphQLError;
use dagger_sdk::errors::DaggerError;
use serde_json::Value;

/// A message and any number of named details. The user sees the message; programs read the details.
///
/// Like `anyhow::Error`, it is made from any error by `?`, and so is not itself a `std::error::Error`.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    message: String,
    values: Vec<(String, Value)>,
}

impl Error {
    pub fn new(message: impl Into<String>) -> Error {
        Error { message: message.into(), values: Vec::new() }
    }

    /// Adds a detail, or replaces the one of that name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Error {
        self.values.retain(|(known, _)| known != name);
        self.values.push((name.to_owned(), value.into()));
        self
    }

    /// The same details under another message.
    pub fn with_message(mut self, message: impl Into<String>) -> Error {
        self.message = message.into();
        self
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    pub fn values(&self) -> &[(String, Value)] {
        &self.values
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// A container's command that failed brings `cmd`, `exitCode`, `stdout` and `stderr` with it.
    fn from_engine(error: &GraphQLError) -> Error {
        let (message, fields) = match error {
            GraphQLError::HttpError(reason) => return Error::new(format!("The engine cannot be reached: {reason}.")),
            GraphQLError::DomainError { message, fields } => (message, fields),
        };
        let error = Error::new(message.as_str());
        match fields.first().and_then(|first| first.extensions.as_ref()) {
            Some(GraphQlExtension::ExecError { cmd, exit_code, stderr, stdout }) => error
                .with("cmd", cmd.as_slice())
                .with("exitCode", *exit_code)
                .with("stderr", stderr.as_str())
                .with("stdout", stdout.as_str()),
            _ => error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        if let Some(DaggerError::Query(error)) = (&error as &dyn Any).downcast_ref() {
            return Error::from_engine(error);
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        Error::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_command_keeps_its_details() {
        let answer = json!([{"message": "exit code: 3", "extensions": {"_type": "EXEC_ERROR", "cmd": ["false"],
            "exitCode": 3, "stdout": "", "stderr": "no"}}]);
        let fields = serde_json::from_value(answer).unwrap();
        let error = DaggerError::Query(GraphQLError::DomainError { message: "exit code: 3".into(), fields });
        let error = Error::from(error);
        assert_eq!(error.to_string(), "exit code: 3");
        assert_eq!(error.value("exitCode"), Some(&json!(3)));
        assert_eq!(error.value("stderr"), Some(&json!("no")));
        let gone = Error::from(DaggerError::Query(GraphQLError::HttpError("no route".into())));
        assert_eq!(gone.message(), "The engine cannot be reached: no route.");
    }

    #[test]
    fn causes_are_named_once() {
        let error: Error = std::io::Error::other("no disk").into();
        assert_eq!(error.message(), "no disk");
    }

    #[test]
    fn a_detail_is_replaced() {
        let error = Error::new("x").with("step", "a").with("step", "b");
        assert_eq!(error.values(), [("step".to_owned(), json!("b"))]);
    }
}
