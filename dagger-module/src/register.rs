//! From the table to the engine's type definitions. Definitions refer to others by id, so they go in a few rounds, each
//! of them one request: types, lists of types, functions, objects, the module.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::query::{Literal, Query};
use crate::session::Session;
use crate::table::{Arg, Cache, Enum, Function, Module, Object, Type, camel};

/// Defines the module and gives its id.
pub fn register(session: &Session, module: &Module) -> Result<String, Error> {
    module.check()?;
    let types = define_types(session, module)?;

    let functions: Vec<Query> = module.objects.iter().flat_map(functions_of).map(|f| function(f, &types)).collect();
    let mut function_ids = session.ids(&functions)?.into_iter();

    let mut definitions = Vec::new();
    for object in &module.objects {
        let mut query = Query::new("typeDef").call("withObject").arg("name", &object.name);
        query = query.arg("description", &object.description);
        for field in &object.fields {
            query = query.call("withField").arg("name", camel(&field.name)).arg("typeDef", &types[&field.of]);
            query = query.arg("description", &field.description);
        }
        for (function, id) in functions_of(object).zip(&mut function_ids) {
            let call = if function.name.is_empty() { "withConstructor" } else { "withFunction" };
            query = query.call(call).arg("function", id);
        }
        definitions.push(query);
    }
    definitions.extend(module.enums.iter().map(enumeration));
    let ids = session.ids(&definitions)?;

    let mut query = Query::new("module").call("withDescription").arg("description", &module.description);
    for (place, id) in ids.into_iter().enumerate() {
        query = match place < module.objects.len() {
            true => query.call("withObject").arg("object", id),
            false => query.call("withEnum").arg("enum", id),
        };
    }
    session.id(&query)
}

fn functions_of(object: &Object) -> impl Iterator<Item = &Function> {
    object.constructor.iter().chain(&object.functions)
}

/// Ids of all types that the module mentions.
fn define_types(session: &Session, module: &Module) -> Result<BTreeMap<Type, String>, Error> {
    let mut rounds: Vec<Vec<Type>> = Vec::new();
    for object in &module.objects {
        let args = functions_of(object).flat_map(|f| f.args.iter().map(arg_type).chain([f.returns.clone()]));
        for of in args.chain(object.fields.iter().map(|field| field.of.clone())) {
            need(&of, &mut rounds);
        }
    }
    let mut ids = BTreeMap::new();
    for round in rounds {
        let queries: Vec<Query> = round.iter().map(|of| type_def(of, &ids)).collect();
        let new = session.ids(&queries)?;
        ids.extend(round.into_iter().zip(new));
    }
    Ok(ids)
}

/// An argument with a default may be left out.
fn arg_type(arg: &Arg) -> Type {
    let left_out = arg.default.is_some() || arg.default_path.is_some();
    match &arg.of {
        Type::Optional(_) => arg.of.clone(),
        of if left_out => of.clone().optional(),
        of => of.clone(),
    }
}

/// Puts `of` into the round after the one of the type that it contains; gives the number of its round.
fn need(of: &Type, rounds: &mut Vec<Vec<Type>>) -> usize {
    let round = match of {
        Type::List(inner) => need(inner, rounds) + 1,
        // An optional type is its inner type with a flag, in the same definition.
        Type::Optional(inner) => match &**inner {
            Type::List(element) => need(element, rounds) + 1,
            _ => 0,
        },
        _ => 0,
    };
    if rounds.len() <= round {
        rounds.resize(round + 1, Vec::new());
    }
    if !rounds[round].contains(of) {
        rounds[round].push(of.clone());
    }
    round
}

fn type_def(of: &Type, ids: &BTreeMap<Type, String>) -> Query {
    let query = Query::new("typeDef");
    let kind = |name: &str| query.clone().call("withKind").arg("kind", Literal::member(name));
    match of {
        // Nothing is returned, which is what an optional type may be.
        Type::Void => kind("VOID_KIND").call("withOptional").arg("optional", true),
        Type::String => kind("STRING_KIND"),
        Type::Integer => kind("INTEGER_KIND"),
        Type::Float => kind("FLOAT_KIND"),
        Type::Boolean => kind("BOOLEAN_KIND"),
        Type::Object(name) => query.call("withObject").arg("name", name),
        Type::Enum(name) => query.call("withEnum").arg("name", name),
        Type::List(inner) => query.call("withListOf").arg("elementType", &ids[&**inner]),
        Type::Optional(inner) => type_def(inner, ids).call("withOptional").arg("optional", true),
    }
}

fn enumeration(of: &Enum) -> Query {
    let mut query = Query::new("typeDef").call("withEnum").arg("name", &of.name).arg("description", &of.description);
    for member in &of.members {
        query = query.call("withEnumMember").arg("name", &member.name).arg("value", &member.value);
        query = query.arg("description", &member.description);
    }
    query
}

fn function(of: &Function, types: &BTreeMap<Type, String>) -> Query {
    let mut query = Query::new("function").arg("name", camel(&of.name)).arg("returnType", &types[&of.returns]);
    query = query.call("withDescription").arg("description", &of.description);
    for arg in &of.args {
        query = query.call("withArg").arg("name", camel(&arg.name)).arg("typeDef", &types[&arg_type(arg)]);
        query = query.arg("description", &arg.description);
        if let Some(value) = &arg.default {
            query = query.arg("defaultValue", value.to_string());
        }
        if let Some(path) = &arg.default_path {
            query = query.arg("defaultPath", path);
        }
        if !arg.ignore.is_empty() {
            query = query.arg("ignore", arg.ignore.as_slice());
        }
        if let Some(reason) = &arg.deprecated {
            query = query.arg("deprecated", reason);
        }
    }
    let policy = match &of.cache {
        Cache::Default => None,
        Cache::For(_) => Some("Default"),
        Cache::PerSession => Some("PerSession"),
        Cache::Never => Some("Never"),
    };
    if let Some(policy) = policy {
        query = query.call("withCachePolicy").arg("policy", Literal::member(policy));
        if let Cache::For(time) = &of.cache {
            query = query.arg("timeToLive", time);
        }
    }
    if of.check {
        query = query.call("withCheck");
    }
    if of.generator {
        query = query.call("withGenerator");
    }
    if let Some(reason) = &of.deprecated {
        query = query.call("withDeprecated").arg("reason", reason);
    }
    query
}
