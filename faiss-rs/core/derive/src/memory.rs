//! Slices whose lengths other parameters tell: pointers, as outside callers pass them.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{BinOp, Expr, Type};

use crate::methods::{Given, is_option};

/// The elements of a slice, and whether they are changed.
fn slice(ty: &Type) -> Option<(&Type, bool)> {
    let Type::Reference(reference) = is_option(ty).unwrap_or(ty) else { return None };
    match &*reference.elem {
        Type::Slice(slice) => Some((&slice.elem, reference.mutability.is_some())),
        _ => None,
    }
}

/// What is known of the memory that a parameter is lent, where it is a slice with a length.
pub fn described(own: &Given, given: &[Given]) -> syn::Result<Option<TokenStream>> {
    let Some(said) = &own.said.len else { return Ok(None) };
    let Some((element, writes)) = slice(&own.ty) else {
        return Err(syn::Error::new_spanned(&own.ty, "a length is said of a slice"));
    };
    let len = match said {
        Some(len) => told(len, given),
        None => quote!(None),
    };
    Ok(Some(quote! {
        ::faiss_core::base::declare::Memory {
            element: <#element as ::faiss_core::base::object::Element>::ELEMENT, writes: #writes, len: #len,
        }
    }))
}

/// The function that tells a length.
fn told(len: &Expr, given: &[Given]) -> TokenStream {
    let declare = quote!(::faiss_core::base::declare);
    // Those that the length is told from.
    let words = words(len.to_token_stream());
    let named = given.iter().enumerate().filter(|(_, other)| words.contains(&other.name.to_string()));
    let taken = named.map(|(i, other)| {
        let (name, ty) = (&other.name, &other.ty);
        let take = other.taken(&quote!(<#ty as #declare::Argument>::take(#name)?));
        quote! { let #name = &mut args[#i]; let #name = #take; }
    });
    let len = bounded(len);
    quote!(Some(|args| { #(#taken)* Ok(#len) }))
}

/// The check that a slice is as long as is said.
pub fn check(own: &Given) -> Option<TokenStream> {
    let (len, name) = (own.said.len.as_ref()?.as_ref()?, &own.name);
    let condition = format!("{name}.size() == {}", len.to_token_stream());
    let len = bounded(len);
    let holds = match is_option(&own.ty) {
        Some(_) => quote!(#name.as_ref().is_none_or(|memory| memory.len() == #len)),
        None => quote!(#name.len() == #len),
    };
    Some(quote!(::faiss_core::base::Error::check(#holds, #condition)?;))
}

fn words(tokens: TokenStream) -> Vec<String> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            proc_macro2::TokenTree::Group(group) => words(group.stream()),
            proc_macro2::TokenTree::Ident(word) => vec![word.to_string()],
            _ => Vec::new(),
        })
        .collect()
}

/// The expression with sums, differences and products that stop at the ends of the range: no memory is as long.
fn bounded(expr: &Expr) -> TokenStream {
    match expr {
        Expr::Paren(inner) => bounded(&inner.expr),
        Expr::Binary(binary) => {
            let (left, right) = (bounded(&binary.left), bounded(&binary.right));
            match &binary.op {
                BinOp::Mul(_) => quote!(usize::saturating_mul(#left, #right)),
                BinOp::Add(_) => quote!(usize::saturating_add(#left, #right)),
                BinOp::Sub(_) => quote!(usize::saturating_sub(#left, #right)),
                op => quote!((#left #op #right)),
            }
        }
        other => other.to_token_stream(),
    }
}
