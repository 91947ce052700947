//! A module with one of everything: an argument with a default, an enum, a directory, a container, an object that has a
//! state, a check, and a failure with details. Run it from this folder: `dagger functions`, `dagger call hello`.

use std::process::ExitCode;

use dagger_module::{Arg, Cache, Call, Enum, Error, Function, Module, Object, Type, Value, json, serve};
use dagger_sdk::{Container, Directory, Id};

#[cfg(test)]
mod tests;

fn main() -> ExitCode {
    serve(&module())
}

pub fn module() -> Module {
    let source = Arg::new("source", Type::object("Directory"), "The folder to look into.").default_path("/").ignore([
        "*",
        "!*.md",
        "!dagger-module/**/*.md",
    ]);
    let main = Object::new("Greeter", "Greets people and folders.")
        .constructor(
            Function::new("", "", Type::object("Greeter"), async |call| {
                Ok(json!({"punctuation": call.arg::<String>("punctuation")?}))
            })
            .arg(Arg::new("punctuation", Type::String, "What a greeting ends with.").default("!")),
        )
        .function(
            Function::new("hello", "Says hello.", Type::String, hello)
                .arg(Arg::new("names", Type::String.list(), "Whom to greet.").default(json!(["world"])))
                .arg(Arg::new("manners", Type::Enum("Manners".into()), "How to greet them.").default("PLAIN")),
        )
        .function(
            Function::new("pages", "The Markdown files of a folder.", Type::object("GreeterPages"), pages).arg(source),
        )
        .function(
            Function::new("shout", "Says it in a container.", Type::object("Container"), shout)
                .arg(Arg::new("image", Type::String, "The container's image.").default("debian:stable-slim"))
                .arg(Arg::new("words", Type::String.optional(), "What to say.")),
        )
        .function(
            Function::new("run", "Runs a command in a container, each time anew.", Type::String, run)
                .arg(Arg::new("image", Type::String, "The container's image.").default("debian:stable-slim"))
                .arg(Arg::new("command", Type::String.list(), "The command."))
                .cache(Cache::Never),
        )
        .function(
            Function::new("polite", "Whether greetings are polite.", Type::Void, async |_| Ok(Value::Null)).check(),
        );
    let pages = Object::new("GreeterPages", "The Markdown files of a folder.")
        .field("folder", Type::object("Directory"), "The folder that holds them.")
        .function(Function::new("names", "Their names.", Type::String.list(), names))
        .function(Function::new("count", "How many there are.", Type::Integer, async |call| {
            Ok(names(call).await?.as_array().map_or(0, Vec::len).into())
        }));
    let manners = Enum::new("Manners", "How to greet.").member("PLAIN", "plain", "By a word.").member(
        "FORMAL",
        "formal",
        "By a sentence.",
    );
    Module::new("Greets people and folders: an example of a module in Rust.", main).object(pages).enumeration(manners)
}

async fn hello(call: Call) -> Result<Value, Error> {
    let names: Vec<String> = call.arg("names")?;
    let end: String = call.state("punctuation")?;
    if names.is_empty() {
        return Err(Error::new("There is nobody to greet.").with("names", 0));
    }
    let names = names.join(" and ");
    Ok(match call.arg::<String>("manners")?.as_str() {
        "FORMAL" => format!("I have the honour to greet {names}{end}"),
        _ => format!("Hello, {names}{end}"),
    }
    .into())
}

async fn pages(call: Call) -> Result<Value, Error> {
    Ok(json!({"folder": call.arg::<String>("source")?}))
}

async fn names(call: Call) -> Result<Value, Error> {
    let folder: Directory = call.dagger.r#ref(Id(call.state("folder")?));
    Ok(folder.glob("**/*.md").await?.into())
}

fn container(call: &Call, command: Vec<String>) -> Result<Container, Error> {
    Ok(call.dagger.container().from(call.arg::<String>("image")?).with_exec(command))
}

async fn shout(call: Call) -> Result<Value, Error> {
    let words: Option<String> = call.arg("words")?;
    let words = words.unwrap_or_else(|| "hello".to_owned()).to_uppercase();
    let Id(id) = container(&call, vec!["echo".to_owned(), words])?.id().await?;
    Ok(id.into())
}

async fn run(call: Call) -> Result<Value, Error> {
    Ok(container(&call, call.arg("command")?)?.stdout().await?.into())
}
