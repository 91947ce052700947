//! One call: which function the engine wants, its arguments, and how the answer goes back.

use std::any::Any;
use std::env;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;

use dagger_sdk::{Id, Json, Query};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::register::register;
use crate::table::{Function, Module, camel};
use crate::{answer, client};

/// Set by the SDK where the engine wants only the module's types: the file that takes the id of their definition.
const TYPES_FILE: &str = "DAGGER_MODULE_TYPES";

/// A function that is being called. A copy is the same call.
#[derive(Clone)]
pub struct Call {
    /// The root of the engine's API.
    pub dagger: Query,
    given: Arc<Given>,
}

struct Given {
    object: String,
    function: String,
    parent: Map<String, Value>,
    args: Map<String, Value>,
}

impl Call {
    /// The object, as the table names it.
    pub fn object(&self) -> &str {
        &self.given.object
    }

    /// The function, as the table names it.
    pub fn function(&self) -> &str {
        &self.given.function
    }

    /// An argument, by its name in the table. One that was left out and has no default is null: read it as an `Option`.
    /// Objects arrive as ids (`dagger.r#ref` makes objects of them), members of enums as their names.
    pub fn arg<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        read("argument", name, self.given.args.get(&camel(name)))
    }

    /// A part of the object's state, as the function that made the object returned it.
    pub fn state<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        read("field", name, self.given.parent.get(&camel(name)))
    }

    /// All of the object's state.
    pub fn parent(&self) -> &Map<String, Value> {
        &self.given.parent
    }
}

fn read<T: DeserializeOwned>(what: &str, name: &str, value: Option<&Value>) -> Result<T, Error> {
    let value = value.cloned().unwrap_or(Value::Null);
    T::deserialize(value).map_err(|error| Error::new(format!("The {what} {name} cannot be read: {error}.")))
}

/// Values are JSON in a string, but for a parent that there is none of.
fn unpack(Json(text): Json) -> Result<Value, Error> {
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}

/// Serves the module to the engine that started this program: the whole of a module's `main`.
pub fn serve(module: &Module) -> ExitCode {
    let outcome = || -> Result<bool, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(serve_in(&client::from_env()?, module))
    };
    match outcome() {
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
pub async fn serve_in(dagger: &Query, module: &Module) -> Result<bool, Error> {
    if let Some(file) = env::var_os(TYPES_FILE) {
        let Id(id) = register(dagger, module).await?;
        fs::write(&file, Value::String(id).to_string())
            .map_err(|error| Error::new(format!("The types cannot be written to {}: {error}.", file.display())))?;
        return Ok(true);
    }
    match answer_to(dagger, module).await {
        Ok(value) => answer::value(dagger, &value).await.map(|()| true),
        Err(error) => answer::error(dagger, &error).await.map(|()| false),
    }
}

async fn answer_to(dagger: &Query, module: &Module) -> Result<Value, Error> {
    let wanted = dagger.current_function_call();
    let (object_name, name) = (wanted.parent_name().await?, wanted.name().await?);
    if object_name.is_empty() {
        let Id(id) = register(dagger, module).await?;
        return Ok(id.into());
    }
    let unknown = || Error::new(format!("The module has no function {object_name}.{name}."));
    let object = module.objects.iter().find(|object| object.name == object_name).ok_or_else(unknown)?;
    let parent = match unpack(wanted.parent().await?)? {
        Value::Object(parent) => parent,
        _ => Map::new(),
    };
    let function: &Function = if name.is_empty() {
        match &object.constructor {
            Some(function) => function,
            // An object without a constructor starts without a state.
            None => return Ok(Value::Object(parent)),
        }
    } else {
        let functions = &mut object.functions.iter();
        functions.find(|function| camel(&function.name) == name).ok_or_else(unknown)?
    };
    let mut args = Map::new();
    for arg in &function.args {
        args.insert(camel(&arg.name), arg.default.clone().unwrap_or(Value::Null));
    }
    let inputs = wanted.input_args().await?;
    let inputs = inputs.iter().map(async |input| Ok::<_, Error>((input.name().await?, unpack(input.value().await?)?)));
    args.extend(try_join_all(inputs).await?);
    let (object, function_name) = (object.name.clone(), function.name.clone());
    let given = Given { object, function: function_name, parent, args };
    let call = Call { dagger: dagger.clone(), given: Arc::new(given) };
    // A panic is a fault of the module; its user gets its words, and no trace of stack frames.
    let work = AssertUnwindSafe(async { (function.handler)(call.clone()).await });
    work.catch_unwind().await.unwrap_or_else(|panic| {
        let text = words(&*panic);
        Err(Error::new(format!("The module failed in {}.{}: {text}", call.object(), call.function())))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
