//! The operations with all that they refer to looked up and checked.

use proc_macro2::{Ident, TokenStream};
use quote::format_ident;

use super::{
    names,
    shape::Shape,
    spec::{Operation, Parameter, Place, Problem, Response, Spec},
};

/// One operation.
pub(super) struct Call<'a> {
    pub(super) path: &'a str,
    pub(super) method: &'static str,
    pub(super) operation: &'a Operation,
    /// Its function in Rust.
    pub(super) name: Ident,
    pub(super) in_path: Option<InPath<'a>>,
    /// What every operation has in its query, and what only some have.
    pub(super) common: Vec<&'a Parameter>,
    pub(super) query: Vec<&'a Parameter>,
    pub(super) body: Option<Body>,
    pub(super) success: Success<'a>,
    pub(super) at: String,
}

/// The one parameter in the path.
pub(super) struct InPath<'a> {
    pub(super) parameter: &'a Parameter,
    pub(super) name: Ident,
    pub(super) rust: TokenStream,
}

pub(super) struct Body {
    pub(super) rust: Ident,
    pub(super) required: bool,
}

/// The one answer that is no error.
pub(super) struct Success<'a> {
    pub(super) status: Ident,
    pub(super) response: &'a Response,
    pub(super) rust: Option<TokenStream>,
}

/// All operations in the order of the document.
pub(super) fn all(spec: &Spec) -> Result<Vec<Call<'_>>, Problem> {
    spec.operations().map(|(path, method, operation)| Call::new(spec, path, method, operation)).collect()
}

impl<'a> Call<'a> {
    fn new(spec: &'a Spec, path: &'a str, method: &'static str, operation: &'a Operation) -> Result<Self, Problem> {
        let at = format!("paths.{path}.{method}");
        let name = names::ident(&names::snake(&operation.id), &at)?;
        let (in_path, common, query) = parameters(spec, operation, &at)?;
        let in_path = in_path.map(|parameter| InPath::new(spec, parameter, &at)).transpose()?;
        check_template(path, in_path.as_ref(), &at)?;
        let (body, success) = (body(spec, operation, &at)?, success(spec, operation, &at)?);
        Ok(Self { path, method, operation, name, in_path, common, query, body, success, at })
    }

    /// The parameters in the order in which they are served.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'a Parameter> {
        let in_path = self.in_path.iter().map(|it| it.parameter);
        in_path.chain(self.common.iter().copied()).chain(self.query.iter().copied())
    }

    /// The struct of what only this operation has in its query.
    pub(super) fn query_name(&self) -> Option<Ident> {
        (!self.query.is_empty()).then(|| format_ident!("{}Query", self.operation.id))
    }
}

impl<'a> InPath<'a> {
    fn new(spec: &Spec, parameter: &'a Parameter, at: &str) -> Result<Self, Problem> {
        let name = names::ident(&names::snake(&parameter.name), at)?;
        Ok(Self { parameter, name, rust: Shape::of(spec, &parameter.schema, at)?.rust(at)? })
    }
}

type Parameters<'a> = (Option<&'a Parameter>, Vec<&'a Parameter>, Vec<&'a Parameter>);

/// The parameters of the path, of every query, and of this one.
fn parameters<'a>(spec: &'a Spec, operation: &Operation, at: &str) -> Result<Parameters<'a>, Problem> {
    let (mut path, mut common, mut query) = (None, vec![], vec![]);
    for (index, reference) in operation.parameters.iter().enumerate() {
        let at = format!("{at}.parameters[{index}]");
        let parameter = &spec.components.parameters[spec.resolve("parameters", &reference.target, &at)?];
        match parameter.place {
            Place::Path if path.is_some() => return Err(Problem::at(at, "is a second parameter in the path")),
            Place::Path => path = Some(parameter),
            Place::Query if spec.is_everywhere(&reference.target) => common.push(parameter),
            Place::Query => query.push(parameter),
        }
    }
    Ok((path, common, query))
}

fn check_template(path: &str, in_path: Option<&InPath>, at: &str) -> Result<(), Problem> {
    let listed: Vec<_> = in_path.iter().map(|it| format!("{{{}}}", it.parameter.name)).collect();
    let written: Vec<_> = path.split('/').filter(|segment| segment.contains('{')).collect();
    if written == listed {
        return Ok(());
    }
    Err(Problem::at(at, "the parameters in the path and in the list are not the same"))
}

fn body(spec: &Spec, operation: &Operation, at: &str) -> Result<Option<Body>, Problem> {
    let Some(body) = &operation.request_body else { return Ok(None) };
    let at = format!("{at}.requestBody");
    match Shape::of(spec, &body.content.json.schema, &at)? {
        Shape::Named(name) => Ok(Some(Body { rust: names::ident(&name, &at)?, required: body.required })),
        _ => Err(Problem::at(at, "is no named schema")),
    }
}

fn success<'a>(spec: &Spec, operation: &'a Operation, at: &str) -> Result<Success<'a>, Problem> {
    let at = format!("{at}.responses");
    let answers: Vec<_> = operation.responses.iter().filter(|(status, _)| *status != "default").collect();
    let [(status, response)] = answers[..] else {
        return Err(Problem::at(at, "has not exactly one success beside default"));
    };
    let status = match status.as_str() {
        "200" => format_ident!("OK"),
        "201" => format_ident!("CREATED"),
        "202" => format_ident!("ACCEPTED"),
        other => return Err(Problem::at(at, format!("{other} is none of 200, 201, 202"))),
    };
    let content = response.content.as_ref();
    let rust = content.map(|content| Shape::of(spec, &content.json.schema, &at)?.rust(&at)).transpose()?;
    Ok(Success { status, response, rust })
}
