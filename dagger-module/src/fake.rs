//! An engine for tests: speaks the wire protocol, refuses every operation that the schema does not allow, and answers the
//! others without running anything.
//!
//! Objects get ids such as `Container#7`, and [`FakeEngine::chain`] says which calls such an object stands for. Strings
//! are empty, numbers are zero and lists have no elements, unless a script says otherwise.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use dagger_sdk::Query;

use apollo_compiler::Schema;
use apollo_compiler::ast::Type;
use apollo_compiler::executable::{Field, Selection, SelectionSet};
use apollo_compiler::parser::Parser;
use apollo_compiler::validation::{DiagnosticList, Valid};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use crate::error::Error;
use crate::table::Module;

const TOKEN: &str = "token";
/// Chains of calls are nested as deep as they are long.
const DEEPEST: usize = 4000;

/// Decides what a field gives: `("Container", "stdout", chain)`, where the chain is the text of the calls up to that field,
/// with their arguments. None leaves it to the fake.
pub type Script = Box<dyn Fn(&str, &str, &str) -> Option<Result<Value, Error>> + Send + Sync>;

/// An engine on a port of loopback. Its thread ends with the process.
pub struct FakeEngine {
    port: u16,
    shared: Arc<Shared>,
    runtime: Runtime,
}

struct Shared {
    schema: Valid<Schema>,
    script: Script,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    operations: Vec<String>,
    /// Chain by id, and id by chain.
    chains: BTreeMap<String, String>,
    ids: BTreeMap<String, String>,
    call: Value,
    returned: Option<Value>,
    failed: Option<Error>,
    /// Messages and details of errors that were made, by id.
    errors: BTreeMap<String, Error>,
}

impl FakeEngine {
    /// Starts an engine with the schema of a release, in GraphQL's own language.
    ///
    /// # Panics
    /// When the schema is not valid.
    pub fn start(schema: &str, script: Script) -> FakeEngine {
        let schema = Schema::parse_and_validate(schema, "schema.graphql").unwrap_or_else(|error| panic!("{error}"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let port = listener.local_addr().expect("an address").port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let shared = Arc::new(Shared { schema, script, state: Mutex::default() });
        let engine = FakeEngine { port, shared: Arc::clone(&shared), runtime };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                // A client that hangs up ends its thread, and nothing else.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        engine
    }

    /// The root of the API.
    pub fn dagger(&self) -> Query {
        crate::connect(self.port, TOKEN, None)
    }

    /// Waits for what asks this engine.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Calls a function as the engine does, and gives what the module returned. An empty object asks for registration, an
    /// empty function for the constructor.
    pub fn call(
        &self,
        module: &Module,
        object: &str,
        function: &str,
        parent: Value,
        args: Value,
    ) -> Result<Value, Error> {
        let args = args.as_object().cloned().unwrap_or_default();
        let input: Vec<Value> =
            args.into_iter().map(|(name, value)| json!({"name": name, "value": value.to_string()})).collect();
        {
            let mut state = self.state();
            let parent = parent.to_string();
            state.call = json!({"name": function, "parentName": object, "parent": parent, "inputArgs": input});
            (state.returned, state.failed) = (None, None);
        }
        let fine = self.block_on(crate::serve_in(&self.dagger(), module))?;
        let mut state = self.state();
        match (state.returned.take(), state.failed.take()) {
            (Some(value), None) if fine => Ok(value),
            (None, Some(error)) if !fine => Err(error),
            other => Err(Error::new(format!("the module said {fine} and the engine heard {other:?}"))),
        }
    }

    /// Every operation so far, as the calls from the API's root on: those behind an id are in its place, and arguments
    /// are in the order of their names.
    pub fn operations(&self) -> Vec<String> {
        self.state().operations.clone()
    }

    /// The calls that an id stands for: `container.from(address: "debian")`.
    pub fn chain(&self, id: &str) -> String {
        self.state().chains.get(id).cloned().unwrap_or_else(|| panic!("no object has the id {id}"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 {
            let mut length = 0;
            let mut authorized = false;
            while line.trim() != "" {
                let lower = line.to_ascii_lowercase();
                if let Some(text) = lower.strip_prefix("content-length:") {
                    length = text.trim().parse().map_err(std::io::Error::other)?;
                }
                // "token:" in base64
                authorized |= line.trim_end().ends_with("Basic dG9rZW46");
                line.clear();
                reader.read_line(&mut line)?;
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let (status, answer) =
                if authorized { ("200 OK", self.answer(&body)) } else { ("401 Unauthorized", Value::Null) };
            let answer = answer.to_string();
            write!(writer, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())?;
            line.clear();
        }
        Ok(())
    }

    fn answer(&self, body: &[u8]) -> Value {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let operation = request["query"].as_str().unwrap_or_default().to_owned();
        match self.execute(&operation) {
            Ok(data) => json!({ "data": data }),
            Err(error) => {
                let mut details: Map<String, Value> = error.values().iter().cloned().collect();
                if details.contains_key("exitCode") {
                    for (name, usual) in [("cmd", json!([])), ("stdout", "".into()), ("stderr", "".into())] {
                        details.entry(name).or_insert(usual);
                    }
                    details.insert("_type".to_owned(), "EXEC_ERROR".into());
                } else {
                    details.insert("_type".to_owned(), "OTHER".into());
                }
                json!({"data": null, "errors": [{"message": error.message(), "extensions": details}]})
            }
        }
    }

    fn execute(&self, operation: &str) -> Result<Value, Error> {
        let mut parser = Parser::new().recursion_limit(DEEPEST);
        let refusal = |errors: DiagnosticList| {
            let reasons: Vec<String> = errors.iter().map(|reason| reason.error.to_string()).collect();
            let start: String = operation.chars().take(200).collect();
            Error::new(format!("not in the schema: {} in {start}", reasons.join("; ")))
        };
        let document =
            parser.parse_executable(&self.schema, operation, "operation.graphql").map_err(|e| refusal(e.errors))?;
        let document = document.validate(&self.schema).map_err(|e| refusal(e.errors))?;
        let operation = document.operations.get(None).map_err(|_| Error::new("there must be one operation"))?;
        self.select(&operation.selection_set, "")
    }

    fn select(&self, set: &SelectionSet, chain: &str) -> Result<Value, Error> {
        let mut out = Map::new();
        for selection in &set.selections {
            match selection {
                Selection::Field(field) => {
                    out.insert(field.response_key().to_string(), self.field(&set.ty, field, chain)?);
                }
                Selection::InlineFragment(fragment) => {
                    if let Value::Object(fields) = self.select(&fragment.selection_set, chain)? {
                        out.extend(fields);
                    }
                }
                Selection::FragmentSpread(_) => return Err(Error::new("the fake knows no named fragments")),
            }
        }
        Ok(Value::Object(out))
    }

    fn field(&self, parent: &str, field: &Field, chain: &str) -> Result<Value, Error> {
        if field.selection_set.selections.is_empty() {
            self.state().operations.push(longer(chain, field));
        }
        if let Some(outcome) = (self.script)(parent, &field.name, &longer(chain, field)) {
            return outcome;
        }
        if let Some(value) = self.function_call(parent, field, chain) {
            return Ok(value);
        }
        let chain = match (parent, field.name.as_str()) {
            ("Query", "node") => {
                self.state().chains.get(&text(field, "id")).cloned().ok_or_else(|| Error::new("no such object"))?
            }
            (_, "sync") => chain.to_owned(),
            _ => longer(chain, field),
        };
        let of = field.ty();
        if of.is_list() {
            return Ok(json!([]));
        }
        Ok(match of.inner_named_type().as_str() {
            "ID" => self.id(parent, chain.strip_suffix(".id").unwrap_or(&chain)).into(),
            "String" | "JSON" | "Platform" => "".into(),
            "Int" | "Float" => 0.into(),
            "Boolean" => false.into(),
            _ if !field.selection_set.selections.is_empty() => self.select(&field.selection_set, &chain)?,
            _ => none(of),
        })
    }

    /// The part of the schema that has a memory: the call that is under way, and errors.
    fn function_call(&self, parent: &str, field: &Field, chain: &str) -> Option<Value> {
        let mut state = self.state();
        match (parent, field.name.as_str()) {
            ("FunctionCall", "name" | "parentName" | "parent") => Some(state.call[field.name.as_str()].clone()),
            ("FunctionCall", "inputArgs") => {
                let count = state.call["inputArgs"].as_array().map_or(0, Vec::len);
                let ids = (0..count).map(|place| {
                    let id = format!("FunctionCallArgValue#{place}");
                    state.chains.insert(id.clone(), place.to_string());
                    json!({ "id": id })
                });
                Some(ids.collect())
            }
            ("FunctionCallArgValue", "name" | "value") => {
                let place: usize = chain.parse().ok()?;
                Some(state.call["inputArgs"][place][field.name.as_str()].clone())
            }
            ("FunctionCall", "returnValue") => {
                state.returned = Some(serde_json::from_str(&text(field, "value")).unwrap_or_default());
                Some(Value::Null)
            }
            ("FunctionCall", "returnError") => {
                state.failed = state.errors.get(&text(field, "error")).cloned();
                Some(Value::Null)
            }
            ("Query", "error") => {
                let mut error = Error::new(text(field, "message"));
                let mut depth = 0;
                let mut set = &field.selection_set;
                while let Some(Selection::Field(next)) = set.selections.first() {
                    if next.name == "withValue" {
                        let value = serde_json::from_str(&text(next, "value")).unwrap_or(Value::Null);
                        error = error.with(&text(next, "name"), value);
                        depth += 1;
                    }
                    set = &next.selection_set;
                }
                let id = format!("Error#{}", state.errors.len());
                state.errors.insert(id.clone(), error);
                let nest = |inner, _| json!({ "withValue": inner });
                Some((0..depth).fold(json!({ "id": id }), nest))
            }
            _ => None,
        }
    }

    fn id(&self, of: &str, chain: &str) -> String {
        let mut state = self.state();
        if let Some(id) = state.ids.get(chain) {
            return id.clone();
        }
        let id = format!("{of}#{}", state.ids.len());
        state.ids.insert(chain.to_owned(), id.clone());
        state.chains.insert(id.clone(), chain.to_owned());
        id
    }
}

fn none(of: &Type) -> Value {
    assert!(!of.is_non_null(), "the fake has no answer of type {of}");
    Value::Null
}

fn longer(chain: &str, field: &Field) -> String {
    let mut args: Vec<String> =
        field.arguments.iter().map(|arg| format!("{}: {}", arg.name, arg.value.serialize().no_indent())).collect();
    args.sort();
    let args = if args.is_empty() { String::new() } else { format!("({})", args.join(", ")) };
    let dot = if chain.is_empty() { "" } else { "." };
    format!("{chain}{dot}{}{args}", field.name)
}

fn text(field: &Field, name: &str) -> String {
    let arg = field.arguments.iter().find(|arg| arg.name == name);
    arg.and_then(|arg| arg.value.as_str()).unwrap_or_default().to_owned()
}
