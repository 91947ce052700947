//! One call: which function the engine wants, its arguments, and how the answer goes back.

use std::any::Any;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::query::Query;
use crate::register::register;
use crate::session::Session;
use crate::table::{Function, Module, camel};

/// Set by the SDK where the engine wants only the module's types: the file that takes the id of their definition.
const TYPES_FILE: &str = "DAGGER_MODULE_TYPES";

/// A function that is being called.
#[derive(Debug)]
pub struct Call<'a> {
    pub session: &'a Session,
    /// The object and the function, as the table names them.
    pub object: &'a str,
    pub function: &'a str,
    parent: Map<String, Value>,
    args: Map<String, Value>,
}

impl Call<'_> {
    /// An argument, by its name in the table. One that was left out and has no default is null: read it as an `Option`.
    /// Objects arrive as ids, members of enums as their names.
    pub fn arg<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        read("argument", name, self.args.get(&camel(name)))
    }

    /// A part of the object's state, as the function that made the object returned it.
    pub fn state<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        read("field", name, self.parent.get(&camel(name)))
    }

    /// All of the object's state.
    pub fn parent(&self) -> &Map<String, Value> {
        &self.parent
    }
}

fn read<T: DeserializeOwned>(what: &str, name: &str, value: Option<&Value>) -> Result<T, Error> {
    let value = value.cloned().unwrap_or(Value::Null);
    T::deserialize(value).map_err(|error| Error::new(format!("The {what} {name} cannot be read: {error}.")))
}

/// What the engine tells about the call.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    name: String,
    parent_name: String,
    parent: Value,
    input_args: Vec<Input>,
}

#[derive(Debug, Deserialize)]
struct Input {
    name: String,
    value: Value,
}

/// Values are JSON in a string, but for a parent that there is none of.
fn unpack(value: Value) -> Result<Value, Error> {
    match value {
        Value::String(text) if text.is_empty() => Ok(Value::Null),
        Value::String(text) => Ok(serde_json::from_str(&text)?),
        other => Ok(other),
    }
}

/// Serves the module to the engine that started this program: the whole of a module's `main`.
pub fn serve(module: &Module) -> ExitCode {
    let outcome = Session::from_env().and_then(|session| serve_in(&session, module));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        // The engine has the error, and shows it.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves one call of this session. False when the function failed and the engine was told why; an error when the engine
/// could not be told.
pub fn serve_in(session: &Session, module: &Module) -> Result<bool, Error> {
    if let Some(file) = env::var_os(TYPES_FILE) {
        let id = register(session, module)?;
        fs::write(&file, Value::String(id).to_string())
            .map_err(|error| Error::new(format!("The types cannot be written to {}: {error}.", file.display())))?;
        return Ok(true);
    }
    let operation = "{currentFunctionCall{name parentName parent inputArgs{name value}}}";
    let mut answer = session.request(operation)?;
    let wanted = Wanted::deserialize(answer["currentFunctionCall"].take())?;
    match answer_to(session, module, wanted) {
        Ok(value) => {
            let query = Query::new("currentFunctionCall").call("returnValue").arg("value", value.to_string());
            session.get::<Value>(&query)?;
            Ok(true)
        }
        Err(error) => {
            let mut query = Query::new("error").arg("message", error.message());
            for (name, value) in error.values() {
                query = query.call("withValue").arg("name", name).arg("value", value.to_string());
            }
            let id = session.id(&query)?;
            session.get::<Value>(&Query::new("currentFunctionCall").call("returnError").arg("error", id))?;
            Ok(false)
        }
    }
}

fn answer_to(session: &Session, module: &Module, wanted: Wanted) -> Result<Value, Error> {
    if wanted.parent_name.is_empty() {
        return Ok(register(session, module)?.into());
    }
    let unknown = || Error::new(format!("The module has no function {}.{}.", wanted.parent_name, wanted.name));
    let object = module.objects.iter().find(|object| object.name == wanted.parent_name).ok_or_else(unknown)?;
    let parent = match unpack(wanted.parent)? {
        Value::Object(parent) => parent,
        _ => Map::new(),
    };
    let function: &Function = if wanted.name.is_empty() {
        match &object.constructor {
            Some(function) => function,
            // An object without a constructor starts without a state.
            None => return Ok(Value::Object(parent)),
        }
    } else {
        let functions = &mut object.functions.iter();
        functions.find(|function| camel(&function.name) == wanted.name).ok_or_else(unknown)?
    };
    let mut args = Map::new();
    for arg in &function.args {
        args.insert(camel(&arg.name), arg.default.clone().unwrap_or(Value::Null));
    }
    for input in wanted.input_args {
        args.insert(input.name, unpack(input.value)?);
    }
    let call = Call { session, object: &object.name, function: &function.name, parent, args };
    // A panic is a fault of the module; its user gets its words, and no trace of stack frames.
    catch_unwind(AssertUnwindSafe(|| (function.handler)(&call))).unwrap_or_else(|panic| {
        let text = words(&*panic);
        Err(Error::new(format!("The module failed in {}.{}: {text}", object.name, function.name)))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
