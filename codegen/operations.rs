//! What a service implements, a handler and a route for each operation, and the document.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

use super::{
    amendments,
    calls::{self, Call, InPath},
    fields::{Field, literal},
    names,
    spec::{Parameter, Problem, Spec},
};

pub(super) fn all(spec: &Spec) -> Result<TokenStream, Problem> {
    let calls = calls::all(spec)?;
    let types = spec.components.schemas.keys().map(|name| names::ident(name, "components.schemas"));
    let types: Vec<_> = types.collect::<Result<_, _>>()?;
    let queries = queries(spec, &calls)?;
    let listed = listed(&calls);
    let methods = calls.iter().map(trait_method);
    let handlers: Vec<_> = calls.iter().map(handler).collect::<Result<_, _>>()?;
    let router = router(&calls);
    let document = document(spec, &calls, &types);
    let amendments = amendments::all(spec, &calls);
    Ok(quote! {
        use std::future::{Future, ready};

        use axum::{Router, extract::{Request, State}, http::StatusCode, response::Response, routing::{get, post}};
        use chrono::{DateTime, Utc};
        use schemars::JsonSchema;
        use serde::Deserialize;
        use utoipa::{IntoParams, OpenApi};
        use uuid::Uuid;

        use super::{ApiError, call::Call, format, reply, server::Server};
        use super::wire::{#(#types),*};

        #queries
        #listed

        /// The operations of the contract. One that is not built answers 501.
        pub trait Operations: Clone + Send + Sync + 'static { #(#methods)* }

        #(#handlers)*
        #router
        #document
        #amendments
    })
}

fn queries(spec: &Spec, calls: &[Call]) -> Result<TokenStream, Problem> {
    let common = calls.first().map_or(&[][..], |call| &call.common);
    let mut queries =
        query(spec, &format_ident!("CommonQuery"), " What the query of every operation may say.", common)?;
    for call in calls {
        let doc = format!(" What the query of `{}` may say besides.", call.operation.id);
        let own = call.query_name().map(|name| query(spec, &name, &doc, &call.query));
        queries.extend(own.transpose()?);
    }
    Ok(queries)
}

fn query(spec: &Spec, name: &Ident, doc: &str, parameters: &[&Parameter]) -> Result<TokenStream, Problem> {
    let fields = parameters.iter().map(|Parameter { name, schema, description, required, .. }| {
        let field = Field { name, schema, description, required: *required, utoipa: "param" };
        field.rust(spec, &format!("components.parameters.{name}.schema"))
    });
    let fields: Vec<_> = fields.collect::<Result<_, _>>()?;
    Ok(quote! {
        #[doc = #doc]
        #[derive(Clone, Debug, Deserialize, IntoParams, JsonSchema)]
        #[into_params(parameter_in = Query)]
        pub struct #name { #(#fields)* }
    })
}

fn listed(calls: &[Call]) -> TokenStream {
    let entries = calls.iter().map(|Call { operation, path, .. }| {
        let id = &operation.id;
        quote!(Operation { id: #id, path: #path },)
    });
    quote! {
        /// An operation of the contract.
        pub struct Operation {
            /// Its published name.
            pub id: &'static str,
            /// The template of its path.
            pub path: &'static str,
        }

        /// Every operation.
        pub const OPERATIONS: &[Operation] = &[#(#entries)*];
    }
}

fn trait_method(call: &Call) -> TokenStream {
    let Call { name, operation, .. } = call;
    let (doc, id) = (format!(" {}.", operation.summary), &operation.id);
    let path = call.in_path.iter().map(|it| (it.name.clone(), it.rust.clone()));
    let query = call.query_name().into_iter().map(|query| (format_ident!("query"), quote!(#query)));
    let body = call.body.iter().map(|body| {
        let rust = &body.rust;
        (format_ident!("body"), if body.required { quote!(#rust) } else { quote!(Option<#rust>) })
    });
    let (names, types): (Vec<_>, Vec<_>) = path.chain(query).chain(body).unzip();
    let answer = call.success.rust.clone().unwrap_or_else(|| quote!(()));
    quote! {
        #[doc = #doc]
        fn #name(&self, #(#names: #types),*) -> impl Future<Output = Result<#answer, ApiError>> + Send {
            let _ = (#(#names,)*);
            ready(Err(ApiError::not_implemented(#id)))
        }
    }
}

fn handler(call: &Call) -> Result<TokenStream, Problem> {
    let annotation = annotation(call)?;
    let name = &call.name;
    let body = call.body.iter().map(|body| {
        let (rust, read) = (&body.rust, format_ident!("{}", if body.required { "body" } else { "optional_body" }));
        quote!(let body = call.#read::<#rust>().await?;)
    });
    let query = call.query_name().into_iter().map(|query| quote!(let query = call.query::<#query>()?;));
    let path = call.in_path.iter().map(|InPath { parameter, .. }| {
        let name = &parameter.name;
        quote!(call.path(#name).await?)
    });
    let arguments: Vec<_> =
        path.chain(call.query_name().map(|_| quote!(query))).chain(call.body.iter().map(|_| quote!(body))).collect();
    let mutable = (call.body.is_some() || call.in_path.is_some()).then(|| quote!(mut));
    let status = &call.success.status;
    let reply = if call.success.rust.is_some() {
        quote!(reply::json(StatusCode::#status, &server.within(&common, answer).await?))
    } else {
        quote!(reply::empty(StatusCode::#status, server.within(&common, answer).await?))
    };
    Ok(quote! {
        #annotation
        async fn #name<S: Operations>(State(server): State<Server<S>>, request: Request) -> Result<Response, ApiError> {
            let #mutable call = Call::new(request);
            #(#body)*
            #(#query)*
            let common = call.common()?;
            let answer = server.service.#name(#(#arguments),*);
            Ok(#reply)
        }
    })
}

fn annotation(call: &Call) -> Result<TokenStream, Problem> {
    let Call { path, operation, success, .. } = call;
    let (method, id, [tag]) = (format_ident!("{}", call.method), &operation.id, &operation.tags);
    let (summary, description, answered) = (&operation.summary, &operation.description, &success.response.description);
    let in_path = call.in_path.as_ref().map(|it| in_path(it, &call.at)).transpose()?;
    let query = call.query_name();
    let body = call.body.iter().zip(&operation.request_body).map(|(body, said)| {
        let (rust, description) = (&body.rust, &said.description);
        quote!(request_body(content = #rust, content_type = "application/json", description = #description),)
    });
    let status = &success.status;
    let answer = success.rust.iter().map(|rust| quote!(, body = #rust));
    Ok(quote! {
        #[utoipa::path(#method, path = #path, operation_id = #id, tag = #tag, summary = #summary,
            description = #description, params(#in_path CommonQuery, #query), #(#body)*
            responses((status = #status, description = #answered #(#answer)*)))]
    })
}

fn in_path(InPath { parameter, rust, .. }: &InPath, at: &str) -> Result<TokenStream, Problem> {
    let Parameter { name, description, example, .. } = parameter;
    let example = example.as_ref().map(|value| literal(value, at)).transpose()?;
    let example = example.iter();
    Ok(quote!((#name = #rust, Path, description = #description #(, example = #example)*),))
}

fn router(calls: &[Call]) -> TokenStream {
    let routes = calls.iter().map(|Call { path, name, method, .. }| {
        let method = format_ident!("{method}");
        quote!(.route(#path, #method(#name::<S>)))
    });
    quote! {
        /// Routes every operation to `S`.
        pub(super) fn routes<S: Operations>() -> Router<Server<S>> {
            Router::new() #(#routes)*
        }
    }
}

fn document(spec: &Spec, calls: &[Call], types: &[Ident]) -> TokenStream {
    let handlers = calls.iter().map(|call| &call.name);
    let tags = spec.tags.iter().map(|tag| {
        let (name, description) = (&tag.name, &tag.description);
        quote!((name = #name, description = #description))
    });
    let servers = spec.servers.iter().map(|server| &server.url);
    quote! {
        /// The document, but for [`AMENDMENTS`].
        #[derive(OpenApi)]
        #[openapi(servers(#((url = #servers)),*), tags(#(#tags),*), paths(#(#handlers),*), components(schemas(#(#types),*)))]
        pub(super) struct Document;
    }
}
