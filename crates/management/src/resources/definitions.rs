//! `/definitions`: taking all definitions out, and others in.

use leveret_broker::broker::ImportError;
use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::auth::Level::Administrator;
use crate::declare::Gives::{Nothing, Object};
use crate::request::Call;
use crate::router::{Route, route};

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "definitions", Administrator, export).gives(Object, "Exports all definitions"),
    route("GET", "all-configuration", Administrator, export)
        .gives(Object, "Exports all definitions, by its old path"),
    route("POST", "definitions", Administrator, import)
        .gives(Nothing, "Imports definitions")
        .takes_definitions(),
    route("POST", "all-configuration", Administrator, import)
        .gives(Nothing, "Imports definitions, by its old path")
        .takes_definitions(),
    route("GET", "definitions/{vhost}", Administrator, export_vhost)
        .gives(Object, "Exports the definitions of a vhost"),
    route("POST", "definitions/{vhost}", Administrator, import_vhost)
        .gives(Nothing, "Imports definitions into a vhost")
        .takes_definitions(),
];

fn export(call: &Call<'_>) -> Outcome {
    let definitions = call.app.broker().export(None)?;
    call.audit("definitions exported", "");
    Ok(Answer::json(&definitions))
}

fn export_vhost(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0))?;
    let mut definitions = call.app.broker().export(Some(&vhost.name))?;
    // Those of a vhost do not say which: they can be taken into another one.
    if let Value::Object(sections) = &mut definitions {
        for section in sections.values_mut().filter_map(Value::as_array_mut) {
            for entry in section.iter_mut().filter_map(Value::as_object_mut) {
                entry.remove("vhost");
            }
        }
    }
    Ok(Answer::json(&definitions))
}

/// The file of a form, as browsers send it; a body that is none is the file itself.
fn file<'a>(call: &'a Call<'_>) -> Result<&'a [u8], Answer> {
    let bad = || Answer::bad("the form has no file");
    let Some((kind, boundary)) = call.content_type.split_once("boundary=") else {
        return Ok(call.body);
    };
    if !kind.starts_with("multipart/form-data") {
        return Ok(call.body);
    }
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|at| at == what);
    let end = format!("\r\n--{}", boundary.trim_matches('"'));
    let mut rest = call.body;
    while let Some(at) = find(rest, b"\r\n\r\n") {
        let (head, behind) = rest.split_at(at);
        let content = &behind[4..];
        let length = find(content, end.as_bytes()).ok_or_else(bad)?;
        if find(head, b"name=\"file\"").is_some() {
            return Ok(&content[..length]);
        }
        rest = &content[length + end.len()..];
    }
    Err(bad())
}

fn take(call: &Call<'_>, file: &[u8], which: &str) -> Outcome {
    let refuse = |error: ImportError| Answer::bad(error.to_string());
    let imported = call.app.broker().import(file, call.now()).map_err(refuse)?;
    call.audit("definitions imported", which);
    for ignored in &imported.ignored {
        tracing::warn!(ignored, "this part of the definitions has no effect here");
    }
    Ok(Answer::done(imported.position))
}

fn import(call: &Call<'_>) -> Outcome {
    take(call, file(call)?, "")
}

fn import_vhost(call: &Call<'_>) -> Outcome {
    let vhost = call.vhost(call.name(0)).map_err(|_| Answer::no_vhost())?;
    let mut definitions: Value = serde_json::from_slice(file(call)?)
        .map_err(|error| Answer::bad(format!("not_json: {error}")))?;
    let Some(sections) = definitions.as_object_mut() else {
        return Err(Answer::bad("not_json: the definitions must be an object"));
    };
    for foreign in ["users", "vhosts", "permissions", "topic_permissions"] {
        sections.remove(foreign);
    }
    for section in sections.values_mut().filter_map(Value::as_array_mut) {
        for entry in section.iter_mut().filter_map(Value::as_object_mut) {
            entry.insert("vhost".to_owned(), json!(*vhost.name));
        }
    }
    take(call, definitions.to_string().as_bytes(), &vhost.name)
}
