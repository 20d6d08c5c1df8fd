//! Lists the files of the web pages, so that they are in the binary. Without them there are none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web");
    println!("cargo::rerun-if-changed=web");
    let mut found = Vec::new();
    if root.is_dir() {
        files(&root, &mut found)?;
    }
    let mut named: Vec<(String, &PathBuf)> = found
        .iter()
        .map(|path| (path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned(), path))
        .collect();
    // By name: paths have another order, and the names are searched by halves.
    named.sort();
    let mut table = String::from("&[");
    for (name, path) in named {
        // What a script needs to be checked or tested is no part of the pages.
        if name.ends_with(".md") || name.contains("test") {
            continue;
        }
        let _ = write!(table, "({name:?}, include_bytes!({:?})),", path.to_string_lossy());
    }
    table.push(']');
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default());
    fs::write(out.join("pages.rs"), table)
}
