//! `#[methods]`: the declarations of constructors and methods, made from Rust functions.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, FnArg, ImplItem, ImplItemFn, ItemImpl, Lit, Pat, PatType, ReturnType, Type};

use crate::doc;

/// What a parameter's type says of how its argument is passed.
enum Passed<'a> {
    /// By value, or as a slice of the caller's memory.
    Value(&'a Type),
    /// An object that the call locks: its type, whether it may be absent, whether it is changed.
    Object { ty: &'a Type, optional: bool, mutable: bool },
    /// A list of objects that the call locks to read them.
    Objects(&'a Type),
}

/// `default`: whether the type is also made without arguments, by `Default`.
pub fn expand(default: bool, mut block: ItemImpl) -> syn::Result<TokenStream> {
    let mut constructors = Vec::new();
    if default {
        constructors.push(without_arguments(&block.self_ty));
    }
    // In the order of their first overload.
    let mut names: Vec<String> = Vec::new();
    let mut methods: BTreeMap<String, (String, Vec<TokenStream>)> = BTreeMap::new();
    let this = (*block.self_ty).clone();
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        let is_new = take(function, "new").is_some();
        let name = match take(function, "name") {
            Some(attr) => text(&attr.meta.require_name_value()?.value)?,
            None => function.sig.ident.to_string().trim_start_matches("r#").to_owned(),
        };
        let overload = self::overload(function, &this, is_new)?;
        if is_new {
            constructors.push(overload);
            continue;
        }
        let (doc, overloads) = methods.entry(name.clone()).or_insert_with(|| {
            names.push(name.clone());
            (doc(&function.attrs), Vec::new())
        });
        if doc.is_empty() {
            *doc = self::doc(&function.attrs);
        }
        overloads.push(overload);
    }
    let declared = names.iter().map(|name| {
        let (doc, overloads) = &methods[name];
        quote! {
            ::faiss_core::base::declare::Method { name: #name, doc: #doc, overloads: &[#(#overloads),*] }
        }
    });
    let (generics, _, clause) = block.generics.split_for_impl();
    Ok(quote! {
        #block
        impl #generics #this #clause {
            /// What Python sees of the methods.
            pub const METHODS: &'static [::faiss_core::base::declare::Method] = &[#(#declared),*];
            /// What Python sees of the constructors.
            pub const CONSTRUCTORS: &'static [::faiss_core::base::declare::Overload] = &[#(#constructors),*];
        }
    })
}

/// The constructor without arguments, which makes the default.
pub fn without_arguments(ty: &Type) -> TokenStream {
    quote! {
        ::faiss_core::base::declare::Overload {
            parameters: &[],
            returns: || "None",
            call: ::faiss_core::base::declare::Call::New(|_| {
                Ok(::faiss_core::base::Handle::new(<#ty as ::std::default::Default>::default()))
            }),
        }
    }
}

/// Takes an attribute of this name away from a function.
fn take(function: &mut ImplItemFn, name: &str) -> Option<syn::Attribute> {
    let at = function.attrs.iter().position(|attr| attr.path().is_ident(name))?;
    Some(function.attrs.remove(at))
}

fn text(expr: &Expr) -> syn::Result<String> {
    match expr {
        Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        // What a macro was given.
        Expr::Group(group) => self::text(&group.expr),
        other => Err(syn::Error::new_spanned(other, "a text is wanted")),
    }
}

/// One way to call a constructor or method.
fn overload(function: &mut ImplItemFn, this: &Type, is_new: bool) -> syn::Result<TokenStream> {
    let ident = function.sig.ident.clone();
    let wanted = "the first parameter is to be `&self`, `&mut self`, or `this: &T` or `this: &mut T`";
    let mut inputs = function.sig.inputs.iter_mut().collect::<Vec<_>>().into_iter();
    // The receiver: its type, and whether it is changed.
    let receiver = if is_new {
        None
    } else {
        match inputs.next() {
            Some(FnArg::Receiver(own)) => Some((this.clone(), own.mutability.is_some())),
            Some(FnArg::Typed(PatType { ty, .. })) => match &**ty {
                Type::Reference(reference) => Some(((*reference.elem).clone(), reference.mutability.is_some())),
                other => return Err(syn::Error::new_spanned(other, wanted)),
            },
            None => return Err(syn::Error::new_spanned(&ident, wanted)),
        }
    };
    let (mut parameters, mut names, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for input in inputs {
        let FnArg::Typed(parameter) = input else { return Err(syn::Error::new_spanned(input, wanted)) };
        let Pat::Ident(name) = &*parameter.pat else {
            return Err(syn::Error::new_spanned(&parameter.pat, "a parameter has a name"));
        };
        let name = name.ident.clone();
        let mut default = None;
        let mut class = None;
        let mut kept = Vec::new();
        for attr in std::mem::take(&mut parameter.attrs) {
            if attr.path().is_ident("default") {
                default = Some(attr.meta.require_name_value()?.value.clone());
            } else if attr.path().is_ident("class") {
                class = Some(text(&attr.meta.require_name_value()?.value)?);
            } else {
                kept.push(attr);
            }
        }
        parameter.attrs = kept;
        let (described, take) = parameter_of(&name, &parameter.ty, default.as_ref(), class.as_deref())?;
        parameters.push(described);
        taken.push(take);
        names.push(name);
    }
    let declare = quote!(::faiss_core::base::declare);
    let unpack = quote! {
        let [#(#names),*] = args else { unreachable!("arguments are bound to the parameters") };
        #(let #names = #taken;)*
    };
    let returned = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let call = match &receiver {
        None => {
            let fallible = matches!(&function.sig.output, ReturnType::Type(_, ty) if is_result(ty));
            let made = quote!(<#this>::#ident(#(#names),*));
            let made = if fallible { quote!(#made?) } else { made };
            quote! { #declare::Call::New(|args| { #unpack Ok(::faiss_core::base::Handle::new(#made)) }) }
        }
        Some((ty, true)) => quote! {
            #declare::Call::Write(|object, args| {
                #unpack
                let answer: #returned = <#this>::#ident(::faiss_core::base::view::view_mut::<#ty>(object)?, #(#names),*);
                #declare::Answer::answer(answer)
            })
        },
        Some((ty, false)) => quote! {
            #declare::Call::Read(|object, args| {
                #unpack
                let answer: #returned = <#this>::#ident(::faiss_core::base::view::view::<#ty>(object)?, #(#names),*);
                #declare::Answer::answer(answer)
            })
        },
    };
    let returns = match receiver {
        None => quote!("None"),
        Some(_) => quote!(<#returned as #declare::Answer>::PYTHON),
    };
    Ok(quote! { #declare::Overload { parameters: &[#(#parameters),*], returns: || #returns, call: #call } })
}

/// The description of a parameter, and the expression that takes its argument.
fn parameter_of(
    ident: &syn::Ident,
    ty: &Type,
    default: Option<&Expr>,
    class: Option<&str>,
) -> syn::Result<(TokenStream, TokenStream)> {
    let declare = quote!(::faiss_core::base::declare);
    let name = ident.to_string();
    let name = name.trim_start_matches("r#").trim_start_matches("_");
    let shown = match default {
        Some(value) => {
            let python = python_of(value);
            quote!(Some(#python))
        }
        None => quote!(None),
    };
    let (python, access, fits, take) = match passed(ty) {
        Passed::Value(ty) => (
            quote!(<#ty as #declare::Argument>::PYTHON),
            quote!(Unlocked),
            quote!(<#ty as #declare::Argument>::fits),
            quote_spanned!(ty.span()=> <#ty as #declare::Argument>::take(#ident)?),
        ),
        Passed::Objects(ty) => (
            quote!("list"),
            quote!(Read),
            quote!(#declare::fits_objects::<#ty>),
            quote!(#declare::seen_list::<#ty>(#ident)?),
        ),
        Passed::Object { ty, optional, mutable } => {
            let fits = if optional { quote!(fits_object_or_none) } else { quote!(fits_object) };
            let seen = match (optional, mutable) {
                (true, true) => return Err(syn::Error::new_spanned(ty, "an object that is changed can't be absent")),
                (true, false) => quote!(seen_or_none),
                (false, true) => quote!(seen_mut),
                (false, false) => quote!(seen),
            };
            let access = if mutable { quote!(Write) } else { quote!(Read) };
            (
                quote!(<#ty as ::faiss_core::base::View>::NAME),
                access,
                quote!(#declare::#fits::<#ty>),
                quote!(#declare::#seen::<#ty>(#ident)?),
            )
        }
    };
    let optional = matches!(passed(ty), Passed::Object { optional: true, .. }) || is_option(ty).is_some();
    let python = match class {
        Some(class) => quote!(#class),
        None => python,
    };
    let described = quote! {
        #declare::Parameter {
            name: #name, python: || #python, optional: #optional, default: #shown, access: #declare::Access::#access, fits: #fits,
        }
    };
    let take = match default {
        Some(value) => quote!(if matches!(#ident, #declare::Arg::Missing) { #value } else { #take }),
        None => take,
    };
    Ok((described, take))
}

fn passed(ty: &Type) -> Passed<'_> {
    let inner = is_option(ty);
    match inner.unwrap_or(ty) {
        Type::Reference(reference) if is_object(&reference.elem) => {
            Passed::Object { ty: &reference.elem, optional: inner.is_some(), mutable: reference.mutability.is_some() }
        }
        _ => match inside(ty, "Vec") {
            Some(Type::Reference(reference)) if is_object(&reference.elem) => Passed::Objects(&reference.elem),
            _ => Passed::Value(ty),
        },
    }
}

fn is_object(ty: &Type) -> bool {
    match ty {
        Type::Slice(_) => false,
        Type::Path(path) => !path.path.is_ident("str"),
        _ => true,
    }
}

fn last<'a>(ty: &'a Type, name: &str) -> Option<&'a syn::PathSegment> {
    let Type::Path(path) = ty else { return None };
    path.path.segments.last().filter(|segment| segment.ident == name)
}

fn is_result(ty: &Type) -> bool {
    last(ty, "Result").is_some()
}

/// The type inside an `Option`.
fn is_option(ty: &Type) -> Option<&Type> {
    inside(ty, "Option")
}

/// The type inside one of this name, as in `Vec<T>`.
fn inside<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    match &last(ty, name)?.arguments {
        syn::PathArguments::AngleBracketed(args) => match args.args.first()? {
            syn::GenericArgument::Type(ty) => Some(ty),
            _ => None,
        },
        _ => None,
    }
}

/// A default as Python shows it.
fn python_of(value: &Expr) -> String {
    match value {
        Expr::Lit(lit) => match &lit.lit {
            Lit::Bool(v) => if v.value { "True" } else { "False" }.to_owned(),
            Lit::Int(v) => v.base10_digits().to_owned(),
            Lit::Float(v) => v.base10_digits().to_owned(),
            Lit::Str(v) => format!("'{}'", v.value()),
            _ => "...".to_owned(),
        },
        Expr::Unary(unary) => match python_of(&unary.expr).as_str() {
            "..." => "...".to_owned(),
            number => format!("-{number}"),
        },
        Expr::Path(path) if path.path.is_ident("None") => "None".to_owned(),
        // `MetricType::InnerProduct` is Python's `METRIC_INNER_PRODUCT`.
        Expr::Path(path) if path.path.segments.len() == 2 && path.path.segments[0].ident == "MetricType" => {
            let name = path.path.segments[1].ident.to_string();
            let mut shown = "METRIC".to_owned();
            let mut before = ' ';
            for c in name.chars() {
                if c.is_uppercase() && !before.is_uppercase() {
                    shown.push('_');
                }
                shown.push(c.to_ascii_uppercase());
                before = c;
            }
            shown
        }
        _ => "...".to_owned(),
    }
}
