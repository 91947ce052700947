//! `#[methods]`: the declarations of constructors and methods, made from Rust functions.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, FnArg, ImplItem, ItemImpl, Lit, Pat, PatType, ReturnType, Signature, Type};

use crate::{doc, memory};

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
    let mut methods = Methods::default();
    let this = (*block.self_ty).clone();
    for item in &mut block.items {
        let ImplItem::Fn(function) = item else { continue };
        let is_new = take(&mut function.attrs, "new").is_some();
        let name = name_of(&mut function.attrs, &function.sig)?;
        let of = if is_new { Of::Constructor(&this) } else { Of::Method(&this) };
        let overload = self::overload(&mut function.sig, of)?;
        if is_new {
            constructors.push(overload);
            continue;
        }
        methods.add(name, &function.attrs, overload);
    }
    let declared = methods.declared();
    let (generics, _, clause) = block.generics.split_for_impl();
    Ok(quote! {
        #block
        impl #generics #this #clause {
            /// What Python sees of the methods.
            pub const METHODS: &'static [::faiss_core::base::declare::Method] = #declared;
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

/// Functions by name, in the order of their first overloads.
#[derive(Default)]
pub struct Methods {
    names: Vec<String>,
    /// Their docs and overloads.
    found: BTreeMap<String, (String, Vec<TokenStream>)>,
}

impl Methods {
    pub fn add(&mut self, name: String, attrs: &[Attribute], overload: TokenStream) {
        let (known, overloads) = self.found.entry(name.clone()).or_insert_with(|| {
            self.names.push(name);
            Default::default()
        });
        if known.is_empty() {
            *known = doc(attrs);
        }
        overloads.push(overload);
    }

    /// The slice of all declarations.
    pub fn declared(&self) -> TokenStream {
        let declared = self.names.iter().map(|name| {
            let (doc, overloads) = &self.found[name];
            quote! {
                ::faiss_core::base::declare::Method { name: #name, doc: #doc, overloads: &[#(#overloads),*] }
            }
        });
        quote!(&[#(#declared),*])
    }
}

/// Takes an attribute of this name away.
pub fn take(attrs: &mut Vec<Attribute>, name: &str) -> Option<Attribute> {
    let at = attrs.iter().position(|attr| attr.path().is_ident(name))?;
    Some(attrs.remove(at))
}

/// What Python calls a function.
pub fn name_of(attrs: &mut Vec<Attribute>, function: &Signature) -> syn::Result<String> {
    match take(attrs, "name") {
        Some(attr) => text(&attr.meta.require_name_value()?.value),
        None => Ok(function.ident.to_string().trim_start_matches("r#").to_owned()),
    }
}

/// Whose a function is.
#[derive(Clone, Copy)]
pub enum Of<'a> {
    Constructor(&'a Type),
    Method(&'a Type),
    Nobody,
}

fn text(expr: &Expr) -> syn::Result<String> {
    match expr {
        Expr::Lit(syn::ExprLit { lit: Lit::Str(text), .. }) => Ok(text.value()),
        // What a macro was given.
        Expr::Group(group) => self::text(&group.expr),
        other => Err(syn::Error::new_spanned(other, "a text is wanted")),
    }
}

/// What attributes say of a parameter.
#[derive(Default)]
pub struct Said {
    default: Option<Expr>,
    class: Option<String>,
    /// Whether a slice is memory that a pointer leads to, and how many elements it has, by the other parameters.
    pub len: Option<Option<Expr>>,
}

/// A parameter of a function.
pub struct Given {
    pub name: syn::Ident,
    pub ty: Type,
    pub said: Said,
}

impl Given {
    /// The expression that takes its argument from the variable of its name.
    pub fn taken(&self, take: &TokenStream) -> TokenStream {
        let name = &self.name;
        match &self.said.default {
            Some(value) => {
                quote!(if matches!(#name, ::faiss_core::base::declare::Arg::Missing) { #value } else { #take })
            }
            None => take.clone(),
        }
    }
}

/// Takes the parameters and what attributes say of them.
pub fn given<'a>(inputs: impl Iterator<Item = &'a mut FnArg>) -> syn::Result<Vec<Given>> {
    let mut found = Vec::new();
    for input in inputs {
        let FnArg::Typed(parameter) = input else {
            return Err(syn::Error::new_spanned(input, "only methods have a self"));
        };
        let Pat::Ident(name) = &*parameter.pat else {
            return Err(syn::Error::new_spanned(&parameter.pat, "a parameter has a name"));
        };
        let mut said = Said::default();
        let mut kept = Vec::new();
        for attr in std::mem::take(&mut parameter.attrs) {
            let value = || attr.meta.require_name_value().map(|pair| pair.value.clone());
            if attr.path().is_ident("default") {
                said.default = Some(value()?);
            } else if attr.path().is_ident("class") {
                said.class = Some(text(&value()?)?);
            } else if attr.path().is_ident("len") {
                said.len = Some(if matches!(attr.meta, syn::Meta::Path(_)) { None } else { Some(value()?) });
            } else {
                kept.push(attr);
            }
        }
        parameter.attrs = kept;
        found.push(Given { name: name.ident.clone(), ty: (*parameter.ty).clone(), said });
    }
    Ok(found)
}

/// One way to call a function.
fn overload(function: &mut Signature, of: Of<'_>) -> syn::Result<TokenStream> {
    let wanted = "the first parameter is to be `&self`, `&mut self`, or `this: &T` or `this: &mut T`";
    let mut inputs = function.inputs.iter_mut().collect::<Vec<_>>().into_iter();
    // The receiver: its type, and whether it is changed.
    let receiver = match of {
        Of::Constructor(_) | Of::Nobody => None,
        Of::Method(this) => match inputs.next() {
            Some(FnArg::Receiver(own)) => Some((this.clone(), own.mutability.is_some())),
            Some(FnArg::Typed(PatType { ty, .. })) => match &**ty {
                Type::Reference(reference) => Some(((*reference.elem).clone(), reference.mutability.is_some())),
                other => return Err(syn::Error::new_spanned(other, wanted)),
            },
            None => return Err(syn::Error::new_spanned(&function.ident, wanted)),
        },
    };
    let given = given(inputs)?;
    overload_of(function, of, receiver, &given)
}

/// As [`overload`], of parameters that are taken already.
pub fn overload_of(
    function: &Signature,
    of: Of<'_>,
    receiver: Option<(Type, bool)>,
    given: &[Given],
) -> syn::Result<TokenStream> {
    let ident = &function.ident;
    let (mut parameters, mut taken) = (Vec::new(), Vec::new());
    for own in given {
        let (described, take) = parameter_of(own, given)?;
        parameters.push(described);
        taken.push(take);
    }
    let names: Vec<_> = given.iter().map(|own| &own.name).collect();
    let declare = quote!(::faiss_core::base::declare);
    let unpack = quote! {
        let [#(#names),*] = args else { unreachable!("arguments are bound to the parameters") };
        #(let #names = #taken;)*
    };
    let returned = match &function.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => quote!(#ty),
    };
    let call = match (of, &receiver) {
        (Of::Constructor(this), _) => {
            let fallible = matches!(&function.output, ReturnType::Type(_, ty) if is_result(ty));
            let made = quote!(<#this>::#ident(#(#names),*));
            let made = if fallible { quote!(#made?) } else { made };
            quote! { #declare::Call::New(|args| { #unpack Ok(::faiss_core::base::Handle::new(#made)) }) }
        }
        (Of::Method(this), Some((ty, true))) => quote! {
            #declare::Call::Write(|object, args| {
                #unpack
                let answer: #returned = <#this>::#ident(::faiss_core::base::view::view_mut::<#ty>(object)?, #(#names),*);
                #declare::Answer::answer(answer)
            })
        },
        (Of::Method(this), Some((ty, false))) => quote! {
            #declare::Call::Read(|object, args| {
                #unpack
                let answer: #returned = <#this>::#ident(::faiss_core::base::view::view::<#ty>(object)?, #(#names),*);
                #declare::Answer::answer(answer)
            })
        },
        _ => quote! {
            #declare::Call::Function(|args| {
                #unpack
                let answer: #returned = #ident(#(#names),*);
                #declare::Answer::answer(answer)
            })
        },
    };
    let returns = match of {
        Of::Constructor(_) => quote!("None"),
        _ => quote!(<#returned as #declare::Answer>::PYTHON),
    };
    Ok(quote! { #declare::Overload { parameters: &[#(#parameters),*], returns: || #returns, call: #call } })
}

/// The description of a parameter, and the expression that takes its argument.
fn parameter_of(own: &Given, given: &[Given]) -> syn::Result<(TokenStream, TokenStream)> {
    let declare = quote!(::faiss_core::base::declare);
    let (ident, ty) = (&own.name, &own.ty);
    let name = ident.to_string();
    let name = name.trim_start_matches("r#").trim_start_matches("_");
    let shown = match &own.said.default {
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
    let (memory, fits) = match memory::described(own, given)? {
        Some(memory) => (quote!(Some(#memory)), quote!(#declare::fits_memory)),
        None => (quote!(None), fits),
    };
    let python = match &own.said.class {
        Some(class) => quote!(#class),
        None if own.said.len.is_some() => quote!("Pointer"),
        None => python,
    };
    let described = quote! {
        #declare::Parameter {
            name: #name, python: || #python, optional: #optional, default: #shown, access: #declare::Access::#access, fits: #fits,
            memory: #memory,
        }
    };
    let take = own.taken(&take);
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
pub fn is_option(ty: &Type) -> Option<&Type> {
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
