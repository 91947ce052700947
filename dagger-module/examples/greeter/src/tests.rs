//! The module, driven by an engine that knows the schema of Dagger 0.21.7 and runs nothing.

use dagger_module::fake::{FakeEngine, Script};
use dagger_module::{Error, Value, json};
use dagger_sdk::Id;

use super::module;

const SCHEMA: &str = include_str!("../../../schema/dagger-0.21.7.graphql");

fn engine() -> FakeEngine {
    let script: Script = Box::new(|object, field, chain| match (object, field) {
        ("Directory", "glob") => Some(Ok(json!(["a.md", "b.md"]))),
        ("Container", "stdout") if chain.contains("\"date\"") => Some(Ok("today".into())),
        ("Container", "stdout") => Some(Err(Error::new("exit code: 3").with("exitCode", 3).with("stderr", "no"))),
        _ => None,
    });
    FakeEngine::start(SCHEMA, script)
}

#[test]
fn every_type_is_registered_and_every_operation_is_in_the_schema() {
    let engine = engine();
    let id = engine.call(&module(), "", "", Value::Null, json!({})).unwrap();
    let chain = engine.chain(id.as_str().unwrap());
    assert!(chain.starts_with("module.withDescription(description: \"Greets people"), "{chain}");
    assert_eq!(chain.matches(".withObject(").count(), 2);
    assert_eq!(chain.matches(".withEnum(").count(), 1);
    let all = engine.operations().join("\n");
    for part in [
        "withCachePolicy(policy: Never)",
        "withCheck",
        "defaultPath: \"/\"",
        "ignore: [\"*\",",
        "name: \"FORMAL\", value: \"formal\"",
    ] {
        assert!(all.contains(part), "{part}");
    }
    assert!(all.contains(r#"defaultValue: "[\"world\"]""#));
}

#[test]
fn functions_get_their_arguments_and_their_objects_state() {
    let engine = engine();
    let state = engine.call(&module(), "Greeter", "", Value::Null, json!({"punctuation": "."})).unwrap();
    assert_eq!(state, json!({"punctuation": "."}));
    let call = |args| engine.call(&module(), "Greeter", "hello", state.clone(), args);
    assert_eq!(call(json!({})).unwrap(), "Hello, world.");
    assert_eq!(call(json!({"names": ["a", "b"], "manners": "FORMAL"})).unwrap(), "I have the honour to greet a and b.");
    let wrong = call(json!({"names": 1})).unwrap_err();
    assert!(wrong.message().starts_with("The argument names cannot be read: invalid type"), "{wrong}");
}

#[test]
fn objects_chain() {
    let engine = engine();
    let pages = engine.call(&module(), "Greeter", "pages", json!({"punctuation": "!"}), json!({"source": "x"}));
    assert_eq!(pages.unwrap(), json!({"folder": "x"}));
    let Id(folder) = engine.block_on(engine.dagger().directory().id()).unwrap();
    let count = engine.call(&module(), "GreeterPages", "count", json!({"folder": folder}), json!({})).unwrap();
    assert_eq!(count, 2);
    let image =
        engine.call(&module(), "Greeter", "shout", json!({}), json!({"image": "debian", "words": "hi"})).unwrap();
    let chain = engine.chain(image.as_str().unwrap());
    assert_eq!(chain, r#"container.from(address: "debian").withExec(args: ["echo", "HI"])"#);
}

#[test]
fn failures_arrive_with_their_details() {
    let engine = engine();
    let run = |command: &str| {
        engine.call(&module(), "Greeter", "run", json!({}), json!({"image": "debian", "command": [command]}))
    };
    assert_eq!(run("date").unwrap(), "today");
    let error = run("false").unwrap_err();
    assert_eq!(error.message(), "exit code: 3");
    assert_eq!(error.value("exitCode"), Some(&json!(3)));
    assert_eq!(error.value("stderr"), Some(&json!("no")));
    let error =
        engine.call(&module(), "Greeter", "hello", json!({"punctuation": "!"}), json!({"names": []})).unwrap_err();
    assert_eq!(error.values(), [("names".to_owned(), json!(0))]);
}

#[test]
fn what_does_not_exist_is_refused_on_both_sides() {
    let engine = engine();
    let error = engine.call(&module(), "Greeter", "missing", json!({}), json!({})).unwrap_err();
    assert_eq!(error.message(), "The module has no function Greeter.missing.");
    let ask = |operation: &'static str| engine.block_on(engine.dagger().graphql_client.query(operation)).unwrap_err();
    let error = ask("{container{fly}}").to_string();
    assert!(error.contains("does not have a field `fly`"), "{error}");
    let error = ask("{container{from(address:3){id}}}").to_string();
    assert!(error.contains("not in the schema"), "{error}");
}
