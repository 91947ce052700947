//! From the table to the engine's type definitions. Definitions refer to others by id, so they go in a few rounds: types,
//! lists of types, functions, objects, the module. What belongs to one round goes side by side.

use std::collections::BTreeMap;

use dagger_sdk::{
    FunctionCachePolicy, FunctionWithArgOptsBuilder, FunctionWithCachePolicyOpts, FunctionWithDeprecatedOpts, Id, Json,
    Query, TypeDef, TypeDefKind, TypeDefWithEnumMemberOptsBuilder, TypeDefWithEnumOptsBuilder,
    TypeDefWithFieldOptsBuilder, TypeDefWithObjectOptsBuilder,
};
use futures_util::future::try_join_all;

use crate::error::Error;
use crate::table::{Arg, Cache, Enum, Function, Module, Object, Type, camel};

/// Defines the module and gives its id.
pub async fn register(dagger: &Query, module: &Module) -> Result<Id, Error> {
    module.check()?;
    let types = define_types(dagger, module).await?;
    let objects = try_join_all(module.objects.iter().map(|of| object(dagger, of, &types))).await?;
    let enums = try_join_all(module.enums.iter().map(async |of| Ok::<_, Error>(enumeration(dagger, of)?.id().await?)));
    let mut made = dagger.module().with_description(&module.description);
    for id in objects {
        made = made.with_object(id);
    }
    for id in enums.await? {
        made = made.with_enum(id);
    }
    Ok(made.id().await?)
}

async fn object(dagger: &Query, of: &Object, types: &BTreeMap<Type, Id>) -> Result<Id, Error> {
    let described = TypeDefWithObjectOptsBuilder::default().description(of.description.as_str()).build()?;
    let mut made = dagger.type_def().with_object_opts(&of.name, described);
    for field in &of.fields {
        let described = TypeDefWithFieldOptsBuilder::default().description(field.description.as_str()).build()?;
        made = made.with_field_opts(camel(&field.name), types[&field.of].clone(), described);
    }
    let ids = functions_of(of).map(async |of| Ok::<_, Error>(function(dagger, of, types)?.id().await?));
    for (function, id) in functions_of(of).zip(try_join_all(ids).await?) {
        made = if function.name.is_empty() { made.with_constructor(id) } else { made.with_function(id) };
    }
    Ok(made.id().await?)
}

fn functions_of(object: &Object) -> impl Iterator<Item = &Function> {
    object.constructor.iter().chain(&object.functions)
}

/// Ids of all types that the module mentions.
async fn define_types(dagger: &Query, module: &Module) -> Result<BTreeMap<Type, Id>, Error> {
    let mut rounds: Vec<Vec<Type>> = Vec::new();
    for object in &module.objects {
        let args = functions_of(object).flat_map(|f| f.args.iter().map(arg_type).chain([f.returns.clone()]));
        for of in args.chain(object.fields.iter().map(|field| field.of.clone())) {
            need(&of, &mut rounds);
        }
    }
    let mut ids = BTreeMap::new();
    for round in rounds {
        let made: Vec<TypeDef> = round.iter().map(|of| type_def(dagger, of, &ids)).collect();
        let new = try_join_all(made.iter().map(TypeDef::id)).await?;
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

fn type_def(dagger: &Query, of: &Type, ids: &BTreeMap<Type, Id>) -> TypeDef {
    let made = dagger.type_def();
    match of {
        // Nothing is returned, which is what an optional type may be.
        Type::Void => made.with_kind(TypeDefKind::VoidKind).with_optional(true),
        Type::String => made.with_kind(TypeDefKind::StringKind),
        Type::Integer => made.with_kind(TypeDefKind::IntegerKind),
        Type::Float => made.with_kind(TypeDefKind::FloatKind),
        Type::Boolean => made.with_kind(TypeDefKind::BooleanKind),
        Type::Object(name) => made.with_object(name),
        Type::Enum(name) => made.with_enum(name),
        Type::List(inner) => made.with_list_of(ids[&**inner].clone()),
        Type::Optional(inner) => type_def(dagger, inner, ids).with_optional(true),
    }
}

fn enumeration(dagger: &Query, of: &Enum) -> Result<TypeDef, Error> {
    let described = TypeDefWithEnumOptsBuilder::default().description(of.description.as_str()).build()?;
    let mut made = dagger.type_def().with_enum_opts(&of.name, described);
    for member in &of.members {
        let opts = TypeDefWithEnumMemberOptsBuilder::default()
            .value(member.value.as_str())
            .description(member.description.as_str())
            .build()?;
        made = made.with_enum_member_opts(&member.name, opts);
    }
    Ok(made)
}

fn function(dagger: &Query, of: &Function, types: &BTreeMap<Type, Id>) -> Result<dagger_sdk::Function, Error> {
    let mut made = dagger.function(camel(&of.name), types[&of.returns].clone()).with_description(&of.description);
    for arg in &of.args {
        let mut opts = FunctionWithArgOptsBuilder::default();
        opts.description(arg.description.as_str());
        if let Some(value) = &arg.default {
            opts.default_value(Json(value.to_string()));
        }
        if let Some(path) = &arg.default_path {
            opts.default_path(path.as_str());
        }
        if !arg.ignore.is_empty() {
            opts.ignore(arg.ignore.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if let Some(reason) = &arg.deprecated {
            opts.deprecated(reason.as_str());
        }
        made = made.with_arg_opts(camel(&arg.name), types[&arg_type(arg)].clone(), opts.build()?);
    }
    made = match &of.cache {
        Cache::Default => made,
        Cache::For(time) => {
            let opts = FunctionWithCachePolicyOpts { time_to_live: Some(time) };
            made.with_cache_policy_opts(FunctionCachePolicy::Default, opts)
        }
        Cache::PerSession => made.with_cache_policy(FunctionCachePolicy::PerSession),
        Cache::Never => made.with_cache_policy(FunctionCachePolicy::Never),
    };
    if of.check {
        made = made.with_check();
    }
    if of.generator {
        made = made.with_generator();
    }
    if let Some(reason) = &of.deprecated {
        made = made.with_deprecated_opts(FunctionWithDeprecatedOpts { reason: Some(reason) });
    }
    Ok(made)
}
