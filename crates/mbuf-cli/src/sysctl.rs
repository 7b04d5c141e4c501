//! `mbufctl sysctl`: the settings and counters of a pool by name, and what a configuration gives.

use std::fmt::Write;
use std::io;

use mbuf::{Pool, Reading, Resolved, SettingErrors, Tunable, Tunables, Value};
use serde_json::{Value as Json, json};

use crate::args::SysctlArgs;
use crate::replay::Outcome;

/// Runs it.
pub(crate) fn run(args: &SysctlArgs) -> Outcome {
    let outcome =
        |text, messages, failed| Outcome { text, to_stderr: false, messages, status: u8::from(failed) };
    match configure(args) {
        Ok((resolved, pool)) => {
            let names: Vec<&str> = names(args).collect();
            if !args.files.is_empty() && names.is_empty() && !args.all && !args.describe {
                return outcome(summary(args, &resolved), Vec::new(), false);
            }
            let (readings, errors) = read(&pool, &names);
            // The summary has them in it; here nobody would know why a value is not the one that was set.
            let mut messages: Vec<String> = resolved.adjustments().iter().map(ToString::to_string).collect();
            let failed = !errors.is_empty();
            messages.extend(errors);
            outcome(listing(args, &readings), messages, failed)
        }
        Err(messages) => outcome(String::new(), messages, true),
    }
}

/// The names that are to be printed. What is set is printed when descriptions are asked for.
fn names(args: &SysctlArgs) -> impl Iterator<Item = &str> {
    args.names.iter().filter_map(|name| match name.split_once('=') {
        Some((name, _)) => args.describe.then_some(name),
        None => Some(name),
    })
}

/// Makes the pool that the arguments describe, or says everything that is wrong with it.
fn configure(args: &SysctlArgs) -> Result<(Resolved, Pool), Vec<String>> {
    let mut messages = Vec::new();
    let mut note = |result: Result<(), SettingErrors>| {
        if let Err(errors) = result {
            messages.extend(errors.to_string().lines().map(String::from));
        }
    };
    let mut tunables = args.preset.map_or_else(Tunables::new, Tunables::from);
    for file in &args.files {
        note(match file.to_str() {
            Some("-") => tunables.read_from("(standard input)", io::stdin()),
            _ => tunables.read_file(file),
        });
    }
    if args.env {
        note(tunables.read_env());
    }
    for (name, value) in args.names.iter().filter_map(|name| name.split_once('=')) {
        note(set(&mut tunables, name, value));
    }
    let resolved = match tunables.resolve() {
        Ok(resolved) if messages.is_empty() => resolved,
        Ok(_) => return Err(messages),
        Err(errors) => {
            messages.extend(errors.to_string().lines().map(String::from));
            return Err(messages);
        }
    };
    let pool = Pool::builder().tunables(&tunables).map_err(|errors| vec![errors.to_string()])?;
    let pool = pool.build().map_err(|error| vec![error.to_string()])?;
    Ok((resolved, pool))
}

fn set(tunables: &mut Tunables, name: &str, value: &str) -> Result<(), SettingErrors> {
    match Tunable::named(name) {
        Some(_) => tunables.set_text(name, value)?,
        // What is no setting may be a counter: a pool knows both, and refuses.
        None => drop(Pool::new().sysctl().set(name, value)?),
    }
    Ok(())
}

/// What has these names, or everything; and what there is to say about names that cannot be read.
fn read(pool: &Pool, names: &[&str]) -> (Vec<Reading>, Vec<String>) {
    let sysctl = pool.sysctl();
    if names.is_empty() {
        return (sysctl.list(), Vec::new());
    }
    let (mut readings, mut messages) = (Vec::new(), Vec::new());
    for name in names {
        match sysctl.find(name) {
            Ok(found) => {
                // A value that was asked for by its own name has to be there.
                let missing = found.iter().filter(|reading| reading.node.name == *name);
                messages
                    .extend(missing.filter_map(|reading| reading.value.as_ref().err()?.to_string().into()));
                readings.extend(found);
            }
            Err(error) => messages.push(error.to_string()),
        }
    }
    (readings, messages)
}

fn listing(args: &SysctlArgs, readings: &[Reading]) -> String {
    if args.json {
        return pretty(&readings.iter().map(reading_json).collect());
    }
    let mut text = String::new();
    for Reading { node, value, .. } in readings {
        let line = match value {
            _ if args.describe => format!("{} ({}, {})", node.about, node.unit, node.access),
            Ok(value) => value.to_string(),
            Err(error) => format!("({})", error.rule),
        };
        let _ = writeln!(text, "{}: {line}", node.name);
    }
    text
}

fn reading_json(reading: &Reading) -> Json {
    let node = reading.node;
    let mut json = json!({
        "name": node.name,
        "about": node.about,
        "unit": node.unit.to_string(),
        "access": node.access.to_string(),
    });
    match &reading.value {
        Ok(value) => json["value"] = value_json(*value),
        Err(error) => json["error"] = error.rule.to_string().into(),
    }
    json
}

/// No limit is null.
fn value_json(value: Value) -> Json {
    match value {
        Value::Number(n) => n.into(),
        Value::Unlimited => Json::Null,
        word => word.to_string().into(),
    }
}

/// The limits and other settings that a configuration gives, what memory that allows, and where each comes from.
fn summary(args: &SysctlArgs, resolved: &Resolved) -> String {
    let bytes = |tunable: Tunable| tunable.resource().and_then(|resource| resolved.bytes(resource));
    let number = |bytes: Option<u128>| {
        bytes.map_or(Json::Null, |bytes| json!(u64::try_from(bytes).unwrap_or(u64::MAX)))
    };
    if args.json {
        let settings: Vec<Json> = Tunable::ALL
            .into_iter()
            .map(|tunable| {
                let mut json = json!({
                    "name": tunable.name(),
                    "value": value_json(resolved.value(tunable)),
                    "from": resolved.origin(tunable).to_string(),
                });
                if tunable.resource().is_some() {
                    json["bytes"] = number(bytes(tunable));
                }
                json
            })
            .collect();
        let adjustments: Vec<String> = resolved.adjustments().iter().map(ToString::to_string).collect();
        return pretty(&json!({
            "settings": settings,
            "total_bytes": number(resolved.total_bytes()),
            "adjustments": adjustments,
        }));
    }
    let mut rows = vec![["setting".to_owned(), "value".into(), "bytes".into(), "from".into()]];
    for tunable in Tunable::ALL {
        let bytes = match (tunable.resource(), bytes(tunable)) {
            (None, _) => String::new(),
            (Some(_), None) => Value::Unlimited.to_string(),
            (Some(_), Some(bytes)) => bytes.to_string(),
        };
        let value = resolved.value(tunable).to_string();
        rows.push([tunable.name().into(), value, bytes, resolved.origin(tunable).to_string()]);
    }
    let total =
        resolved.total_bytes().map_or_else(|| Value::Unlimited.to_string(), |bytes| bytes.to_string());
    rows.push(["all buffers".into(), String::new(), total, String::new()]);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [name, value, bytes, from] in &rows {
        let line = format!("{name:<0$}  {value:>1$}  {bytes:>2$}  {from}", widths[0], widths[1], widths[2]);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for adjustment in resolved.adjustments() {
        let _ = write!(text, "\n{adjustment}\n");
    }
    text
}

fn pretty(json: &Json) -> String {
    format!("{json:#}\n")
}
