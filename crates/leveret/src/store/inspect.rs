//! `leveret store inspect`: what is in a data directory, as tables or as JSON.

use std::fmt::Write;
use std::process::ExitCode;

use leveret_server::durable_tools::{self, Definitions, Inspection, LogFileUse};
use serde_json::{Value, json};

use super::output::{mib, table};
use super::{InspectArgs, list, verdict};

/// Shows the directory.
pub(super) fn run(arguments: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = arguments.directory.existing()?;
    let (inspection, definitions) = durable_tools::inspect(&path);
    if arguments.json {
        crate::print(&format!("{:#}\n", to_json(&inspection, &definitions)?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!("{}\n", path.display());
    let shown = manifest(&mut text, &inspection, &definitions)
        .and_then(|()| log(&mut text, &inspection))
        .and_then(|()| segments(&mut text, &inspection))
        .and_then(|()| match arguments.queues {
            true => queues(&mut text, &inspection, &definitions),
            false => Ok(()),
        })
        .and_then(|()| totals(&mut text, &inspection));
    // Writing to a string does not fail.
    shown.map_err(anyhow::Error::from)?;
    crate::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn to_json(inspection: &Inspection, definitions: &Definitions) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(inspection)?;
    let queues = value.get_mut("queues").and_then(Value::as_array_mut).into_iter().flatten();
    for (queue, shown) in queues.zip(&inspection.queues) {
        let (id, Some(queue)) = (shown.queue, queue.as_object_mut()) else { continue };
        if let Some((vhost, name)) = definitions.queues.get(&id) {
            queue.insert("vhost".to_owned(), json!(vhost));
            queue.insert("name".to_owned(), json!(name));
        }
        if let Some((vhost, owner)) = definitions.memories.get(&id) {
            queue.insert("vhost".to_owned(), json!(vhost));
            queue.insert("remembered_by".to_owned(), json!(owner));
        }
    }
    Ok(value)
}

fn manifest(
    text: &mut String,
    inspection: &Inspection,
    definitions: &Definitions,
) -> std::fmt::Result {
    if let Some(holder) = &inspection.in_use_by {
        writeln!(text, "  in use by       {holder}; this may be in the midst of a change")?;
    }
    let Some(manifest) = &inspection.manifest else {
        return writeln!(text, "  manifest        cannot be read");
    };
    writeln!(text, "  store           {}, format {}", manifest.store_id, manifest.format)?;
    let (from, end) = (manifest.replay_from, inspection.log_end);
    writeln!(text, "  log counts      from batch {from} to {end}")?;
    if let Some((batch, bytes)) = inspection.torn {
        writeln!(text, "  torn end        batch {batch}, {}, never confirmed", mib(bytes))?;
    }
    let said = &inspection.definitions;
    let file = match (&said.file, said.bytes) {
        (None, _) => "in the log alone".to_owned(),
        (Some(file), Some(bytes)) => format!("{file} ({})", mib(bytes)),
        (Some(file), None) => format!("{file} (cannot be read)"),
    };
    writeln!(text, "  definitions     {file}, {} changes behind it", said.changes)?;
    definitions.faults.iter().try_for_each(|fault| writeln!(text, "                  {fault}"))
}

fn log(text: &mut String, inspection: &Inspection) -> std::fmt::Result {
    let rows: Vec<_> = inspection
        .log
        .iter()
        .map(|file| {
            let state = match (file.damaged, file.r#use) {
                (true, _) => "DAMAGED",
                (_, LogFileUse::Needed) => "needed",
                (_, LogFileUse::Spare) => "spare",
                (_, LogFileUse::Unknown) => "unknown",
            };
            vec![
                format!("{:08}.log", file.id),
                mib(file.size),
                file.epoch.map_or("-".to_owned(), |epoch| format!("{epoch:016x}")),
                file.first_batch.map_or("-".to_owned(), |first| first.to_string()),
                file.batches.to_string(),
                mib(file.used_bytes),
                state.to_owned(),
            ]
        })
        .collect();
    let head = ["file", "size", "epoch", "first batch", "batches", "used", "state"];
    write!(text, "\nlog\n{}", table(&head, &rows))
}

fn segments(text: &mut String, inspection: &Inspection) -> std::fmt::Result {
    let rows: Vec<_> = inspection
        .segments
        .iter()
        .map(|segment| {
            let back = segment.extents.iter().filter(|extent| extent.given_back).count();
            let state = match (&segment.error, segment.named) {
                (Some(error), _) => error.as_str(),
                (None, true) => "needed",
                (None, false) => "not named",
            };
            vec![
                format!("{:08}.seg", segment.id),
                mib(segment.file_bytes),
                segment.live_messages.to_string(),
                mib(segment.live_bytes),
                mib(segment.garbage_bytes),
                format!("{} ({back} given back)", segment.extents.len()),
                segment.runs.to_string(),
                state.to_owned(),
            ]
        })
        .collect();
    let head = ["file", "size", "messages", "live", "garbage", "extents", "runs", "state"];
    write!(text, "\nsegments\n{}", table(&head, &rows))
}

fn queues(
    text: &mut String,
    inspection: &Inspection,
    definitions: &Definitions,
) -> std::fmt::Result {
    let rows: Vec<_> = inspection
        .queues
        .iter()
        .map(|queue| {
            let name = definitions.queues.get(&queue.queue);
            let name = name.map(|(vhost, name)| format!("{vhost} {name}"));
            let owner = definitions.memories.get(&queue.queue);
            let memory = owner.map(|(vhost, name)| format!("(remembered by {vhost} {name})"));
            let name = name.or(memory).unwrap_or_else(|| "?".to_owned());
            let seq = |seq: Option<u64>| seq.map_or("-".to_owned(), |seq| seq.to_string());
            let levels: Vec<String> =
                queue.levels.iter().map(|(level, count)| format!("{level}: {count}")).collect();
            vec![
                queue.queue.to_string(),
                name,
                queue.messages.to_string(),
                mib(queue.bytes),
                queue.in_log.to_string(),
                queue.in_segments.to_string(),
                seq(queue.first_seq),
                seq(queue.last_seq),
                queue.delivered.to_string(),
                queue.returned.to_string(),
                if queue.levels.len() > 1 { levels.join(", ") } else { String::new() },
            ]
        })
        .collect();
    let head = [
        "id",
        "queue",
        "messages",
        "bodies",
        "in log",
        "in segments",
        "first",
        "last",
        "delivered",
        "returned",
        "by level",
    ];
    write!(text, "\nqueues\n{}", table(&head, &rows))
}

fn totals(text: &mut String, inspection: &Inspection) -> std::fmt::Result {
    let totals = &inspection.totals;
    write!(text, "\n{}", list(&inspection.findings))?;
    write!(
        text,
        "{} messages ({}) in {} queues; log {}, segments {} ({} garbage): ",
        totals.messages,
        mib(totals.message_bytes),
        totals.queues,
        mib(totals.log_bytes),
        mib(totals.segment_bytes),
        mib(totals.garbage_bytes),
    )?;
    match verdict(&inspection.findings) {
        (_, 0) => writeln!(text, "nothing wrong was seen; `leveret store check` looks closely"),
        (verdict, _) => writeln!(text, "{verdict}"),
    }
}
