//! `cargo xtask hot-path`: the instructions that a message costs, counted by callgrind, against
//! those that are written down in `bench/hot_path.toml`.
//!
//! A ratchet: more than [`TOLERANCE`] above fails; what is better is to be written down. Counts are
//! the same at each run; another compiler makes other
//! code, so that a compiler other than the one of the figures is told and not judged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// By how much a figure may be off.
const TOLERANCE: f64 = 0.03;
/// Functions of a table.
const TABLE_ROWS: usize = 15;

const FIGURES: &str = "bench/hot_path.toml";
const HEAD: &str = "\
# Instructions a publish, by scenario, from `cargo xtask hot-path --write`; what the scenarios are
# stands in crates/leveret/examples/hot_path/scenario.rs.
";

/// What is written down.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Figures {
    /// The compiler, as it names itself.
    rustc: String,
    /// Instructions a publish.
    instructions: BTreeMap<String, u64>,
}

/// What to do with the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Compare them with those that are written down.
    Check,
    /// Write them down.
    Write,
    /// Print where the instructions went.
    Tables,
}

/// Builds the program, counts each scenario and compares.
pub fn run(root: &Path, mode: Mode) -> anyhow::Result<()> {
    let program = build(root)?;
    let out = program.with_file_name("callgrind");
    std::fs::create_dir_all(&out)?;
    let mut counted = Figures { rustc: output("rustc", &["--version"])?, ..Figures::default() };
    for name in output(&program.to_string_lossy(), &[])?.lines() {
        let profile = out.join(name);
        let instructions = count(&program, name, &profile)?;
        if mode == Mode::Tables {
            print_tables(name, instructions, &profile)?;
        }
        counted.instructions.insert(name.to_owned(), instructions);
    }
    let path = root.join(FIGURES);
    match mode {
        Mode::Tables => Ok(()),
        Mode::Write => {
            let text = toml::to_string(&counted)?;
            std::fs::write(&path, format!("{HEAD}{text}")).context(FIGURES)
        }
        Mode::Check => {
            let text = std::fs::read_to_string(&path).context(FIGURES)?;
            judge(&toml::from_str(&text).context(FIGURES)?, &counted)
        }
    }
}

/// Builds the program; where it is.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "leveret", "--example", "hot_path"];
    let status = Command::new("cargo").args(arguments).current_dir(root).status()?;
    if !status.success() {
        bail!("cargo {}: {status}", arguments.join(" "));
    }
    let metadata = crate::metadata(root, &["--no-deps"])?;
    let target = metadata["target_directory"].as_str().context("no target directory")?;
    Ok(Path::new(target).join("release/examples/hot_path"))
}

/// What a program prints.
fn output(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Counts one scenario, and leaves its profile in a file; the instructions a publish.
fn count(program: &Path, name: &str, profile: &Path) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=hot_path::counted"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .arg(name)
        // The allocator gives memory back by the clock, which no two runs have in common.
        .env("MIMALLOC_PURGE_DELAY", "-1")
        .output()
        .context("cannot run valgrind; it is in Debian's package of that name")?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let messages: u64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    let text = std::fs::read_to_string(profile)?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let totals: u64 = totals.context("callgrind gave no totals")?.trim().parse()?;
    if totals == 0 || messages == 0 {
        bail!("{name}: callgrind counted {totals} instructions of {messages} messages");
    }
    Ok((totals + messages / 2) / messages)
}

/// Prints the functions that cost most, by themselves and with what they call.
fn print_tables(name: &str, instructions: u64, profile: &Path) -> anyhow::Result<()> {
    let (own, whole) = (shares(profile, false)?, shares(profile, true)?);
    println!("\n### {name}: {instructions} instructions a publish\n");
    println!("| self | function | with calls | function |\n|---:|---|---:|---|");
    for ((own, function), (whole, caller)) in own.iter().zip(&whole).take(TABLE_ROWS) {
        let (function, caller) = (short(function), short(caller));
        println!("| {own:.1} % | `{function}` | {whole:.1} % | `{caller}` |");
    }
    Ok(())
}

fn shares(profile: &Path, inclusive: bool) -> anyhow::Result<Vec<(f64, String)>> {
    let option = if inclusive { "--inclusive=yes" } else { "--inclusive=no" };
    let arguments = [option, "--threshold=100", "--auto=no", &profile.to_string_lossy()];
    Ok(by_function(&output("callgrind_annotate", &arguments)?, inclusive))
}

/// The last two parts of a function's path, without generics.
fn short(function: &str) -> String {
    // `<type as trait>::name` is the type's.
    let own = function.strip_prefix('<').and_then(|rest| {
        Some(format!("{}::{}", rest.split(" as ").next()?, rest.rsplit_once(">::")?.1))
    });
    let (mut plain, mut depth) = (String::new(), 0_usize);
    for character in own.as_deref().unwrap_or(function).chars() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    let parts: Vec<&str> =
        plain.split("::").filter(|part| !part.is_empty() && !part.starts_with('{')).collect();
    parts[parts.len().saturating_sub(2)..].join("::")
}

/// Functions with their share, largest first. Callgrind has a line for each file from which a
/// function has inlined something: shares of its own are added, of the others the largest counts.
fn by_function(text: &str, inclusive: bool) -> Vec<(f64, String)> {
    let mut shares: BTreeMap<String, f64> = BTreeMap::new();
    for line in text.lines() {
        let Some((share, place)) = line.split_once("%) ").and_then(|(cost, place)| {
            Some((cost.rsplit_once('(')?.1.trim().parse::<f64>().ok()?, place.trim()))
        }) else {
            continue;
        };
        let place = place.rsplit_once(" [").map_or(place, |(place, _)| place);
        let function = place.split_once(':').map_or(place, |(_, function)| function);
        let known = shares.entry(function.replace("'2", "")).or_default();
        *known = if inclusive { known.max(share) } else { *known + share };
    }
    let mut rows: Vec<_> = shares.into_iter().map(|(function, share)| (share, function)).collect();
    // What leads to the code that is measured, and the program that calls it, is no news.
    rows.retain(|(share, function)| *share < 99.9 && !function.starts_with("hot_path::"));
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    rows
}

/// Compares, and says all that is wrong.
fn judge(written: &Figures, counted: &Figures) -> anyhow::Result<()> {
    let same_compiler = written.rustc == counted.rustc;
    let mut problems = Vec::new();
    println!("{:<16} {:>12} {:>12}   change", "scenario", "written down", "counted");
    for (name, &count) in &counted.instructions {
        let Some(&before) = written.instructions.get(name) else {
            problems.push(format!("{name}: there is no figure; add it with --write"));
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        println!("{name:<16} {before:>12} {count:>12}   {:+.1} %", change * 100.0);
        if change > TOLERANCE {
            problems.push(format!("{name} is slower: {before} -> {count} instructions"));
        } else if change < -TOLERANCE {
            // No failure: another machine's memcpy may be a better one.
            println!("{name} is faster: {before} -> {count}; tighten with --write");
        }
    }
    for name in written.instructions.keys() {
        if !counted.instructions.contains_key(name) {
            problems.push(format!("{name}: there is no such scenario; remove it with --write"));
        }
    }
    if !same_compiler {
        println!("not judged: the figures are of {}, not {}", written.rustc, counted.rustc);
        return Ok(());
    }
    if !problems.is_empty() {
        bail!("{}\nfigures: {FIGURES}", problems.join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(rustc: &str, count: u64) -> Figures {
        let instructions = BTreeMap::from([("one".to_owned(), count)]);
        Figures { rustc: rustc.to_owned(), instructions }
    }

    fn verdict(before: u64, after: u64) -> String {
        let result = judge(&figures("1", before), &figures("1", after));
        result.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_figure_may_be_off_by_three_in_a_hundred() {
        assert_eq!(verdict(1000, 1029), "");
        assert!(verdict(1000, 1031).starts_with("one is slower: 1000 -> 1031"));
        assert_eq!(verdict(1000, 500), "");
    }

    #[test]
    fn another_compiler_is_not_judged() {
        assert!(judge(&figures("1", 1000), &figures("2", 2000)).is_ok());
    }

    #[test]
    fn scenarios_without_figures_and_figures_without_scenarios_are_found() {
        let none = Figures { rustc: "1".to_owned(), ..Figures::default() };
        assert!(judge(&none, &figures("1", 1)).is_err());
        assert!(judge(&figures("1", 1), &none).is_err());
    }

    #[test]
    fn shares_of_a_function_are_added_and_those_with_calls_are_not() {
        let text = "\
            70 (100.0%)  PROGRAM TOTALS\n\
            30 (30.0%)  a/b.rs:one::two [/x/y]\n\
            20 (20.0%)  c.rs:one::two [/x/y]\n\
             5 ( 5.0%)  ???:memcpy [/libc.so]\n";
        let rows = [(50.0, "one::two".to_owned()), (5.0, "memcpy".to_owned())];
        assert_eq!(by_function(text, false), rows);
        assert_eq!(by_function(text, true)[0].0, 30.0);
    }

    #[test]
    fn functions_are_named_by_the_end_of_their_path() {
        assert_eq!(short("a::b::C<D, E>::f::{{closure}}"), "C::f");
        assert_eq!(short("<a::B<C> as d::E<F>>::g"), "B::g");
        assert_eq!(short("a::b::<impl c::D>::e"), "b::e");
        assert_eq!(short("memcpy"), "memcpy");
    }
}
