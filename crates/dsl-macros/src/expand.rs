//! A strategy as a Rust item.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::quote;
use sparsym_ir::Strategy;
use sparsym_ir::strategy::{Param, Scalar, Value};
use syn::parse::Parser;

/// The struct and its impls. All paths go through `::sparsym::__private`.
///
/// Nothing if the name is a keyword, for which there is an error already.
pub(crate) fn expand(strategy: &Strategy, tokens: &TokenStream) -> Option<TokenStream> {
    let Head { visibility, name } = head(tokens, &strategy.name)?;
    let text = strategy.name.as_str();
    let private = quote!(::sparsym::__private);
    let serde_path = "::sparsym::__private::serde";
    let doc = &strategy.doc;
    let json = serde_json::to_string(strategy).expect("the IR is plain data");
    let field: Vec<Ident> = strategy.params.iter().map(|param| ident(&param.name)).collect();
    let field_doc = strategy.params.iter().map(field_doc);
    let ty: Vec<Ident> = strategy.params.iter().map(|param| ident(param.scalar.name())).collect();
    let default = strategy.params.iter().map(default);
    let value = strategy.params.iter().zip(&field).map(|(param, field)| match param.scalar {
        Scalar::Bool => quote!(#private::Value::Bool(self.#field)),
        Scalar::U32 | Scalar::I32 => quote!(#private::Value::Int(::core::convert::From::from(self.#field))),
        Scalar::F32 => quote!(#private::float(self.#field)),
    });
    Some(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, PartialEq, #private::serde::Serialize)]
        #[serde(crate = #serde_path)]
        #visibility struct #name {
            #(#[doc = #field_doc] pub #field: #ty,)*
        }

        impl ::core::default::Default for #name {
            fn default() -> Self {
                Self { #(#field: #default,)* }
            }
        }

        impl ::sparsym::StrategyType for #name {
            fn ir() -> &'static #private::Strategy {
                static IR: #private::LazyLock<#private::Strategy> =
                    #private::LazyLock::new(|| #private::strategy_from_json(#json));
                &IR
            }

            fn values(&self) -> #private::Vec<#private::Value> {
                #private::Vec::from([#(#value),*])
            }
        }

        impl #name {
            /// Whether every param lies in its range.
            ///
            /// # Errors
            /// One finding for each param that does not, naming the field, the value and the range.
            #[allow(dead_code)]
            #visibility fn check(&self) -> ::core::result::Result<(), #private::Findings> {
                #private::check(self)
            }

            /// The params as bindings of the strategy, without tables and inputs.
            ///
            /// # Errors
            /// As `check`.
            #[allow(dead_code)]
            #visibility fn bindings(&self) -> ::core::result::Result<#private::Bindings, #private::Findings> {
                #private::bindings(self)
            }
        }

        const _: () = {
            #[derive(#private::serde::Deserialize)]
            #[serde(crate = #serde_path, default, deny_unknown_fields, rename = #text)]
            struct Unchecked {
                #(#field: #ty,)*
            }

            impl ::core::default::Default for Unchecked {
                fn default() -> Self {
                    let #name { #(#field,)* } = ::core::default::Default::default();
                    Self { #(#field,)* }
                }
            }

            impl<'de> #private::serde::Deserialize<'de> for #name {
                fn deserialize<D: #private::serde::Deserializer<'de>>(
                    deserializer: D,
                ) -> ::core::result::Result<Self, D::Error> {
                    let Unchecked { #(#field,)* } = #private::serde::Deserialize::deserialize(deserializer)?;
                    let value = #name { #(#field,)* };
                    value.check().map_err(#private::serde::de::Error::custom)?;
                    ::core::result::Result::Ok(value)
                }
            }
        };
    })
}

/// The author's own tokens for the name, so that rustc's messages about it point there.
struct Head {
    visibility: syn::Visibility,
    name: Ident,
}

fn head(tokens: &TokenStream, name: &str) -> Option<Head> {
    let parse = |input: syn::parse::ParseStream| {
        input.call(syn::Attribute::parse_outer)?;
        let head = Head { visibility: input.parse()?, name: input.parse()? };
        input.parse::<TokenStream>()?;
        Ok(head)
    };
    parse.parse2(tokens.clone()).ok().filter(|head| head.name == name)
}

fn field_doc(param: &Param) -> String {
    let legal = match param.scalar {
        Scalar::Bool => String::new(),
        _ => format!("Legal: {}. ", param.range()),
    };
    let facts = format!("{legal}Default: {}.", param.default);
    if param.doc.is_empty() { facts } else { format!("{}\n\n{facts}", param.doc) }
}

fn default(param: &Param) -> TokenStream {
    let literal = |literal: Literal| TokenStream::from(TokenTree::Literal(literal));
    match (param.default, param.scalar) {
        (Value::Bool(value), _) => quote!(#value),
        (Value::Int(value), Scalar::U32) => literal(Literal::u32_suffixed(u32::try_from(value).unwrap_or_default())),
        (Value::Int(value), _) => literal(Literal::i32_suffixed(i32::try_from(value).unwrap_or_default())),
        (Value::Float(value), _) => literal(Literal::f32_suffixed(value as f32)),
    }
}

fn ident(name: &str) -> Ident {
    Ident::new(name, Span::call_site())
}
