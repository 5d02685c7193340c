//! Checks for import cycles between the modules of a crate.
//!
//! Based on the text: every path that begins with `crate::` or `super::`, outside comments and the
//! tests at a file's end. Imports between a parent and its children do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A module's path in its crate; empty for the crate's root.
type Module = Vec<String>;
type Imports = BTreeMap<Module, BTreeSet<Module>>;

/// Checks every crate at the top of the checkout.
///
/// # Errors
/// The modules of each cycle.
pub(crate) fn check() -> Result<()> {
    let mut found = Vec::new();
    let top = workspace::root();
    for entry in fs::read_dir(top).with_context(|| format!("reading {}", top.display()))? {
        let source = entry?.path().join("src");
        if source.is_dir() {
            let name = source.strip_prefix(top).unwrap_or(&source).display();
            found.extend(
                circles(&imports(&read(&source)?))
                    .iter()
                    .map(|circle| format!("{name}: {}", shown(circle))),
            );
        }
    }
    if !found.is_empty() {
        found.sort();
        bail!("modules that import each other:\n  {}", found.join("\n  "));
    }
    Ok(())
}

fn shown(circle: &BTreeSet<Module>) -> String {
    let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
    names.join(", ")
}

/// The text of each module below a source directory. Modules of tests are skipped.
fn read(source: &Path) -> Result<BTreeMap<Module, String>> {
    let mut modules = BTreeMap::new();
    let mut directories = vec![source.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(module) = module(source, &path) {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("reading {}", path.display()))?;
                modules.insert(module, text);
            }
        }
    }
    Ok(modules)
}

/// The module of a file.
fn module(source: &Path, file: &Path) -> Option<Module> {
    let within: PathBuf = file.strip_prefix(source).ok()?.with_extension("");
    let mut module: Module = within
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if module.first().is_some_and(|name| name == "bin") || file.extension()? != "rs" {
        return None;
    }
    if module.len() == 1 && ["lib", "main"].contains(&module[0].as_str()) {
        module.clear();
    }
    if module.last().is_some_and(|name| name == "mod") {
        module.pop();
    }
    (!module.iter().any(|name| name == "tests")).then_some(module)
}

/// The imports of each module.
fn imports(modules: &BTreeMap<Module, String>) -> Imports {
    modules
        .iter()
        .map(|(module, text)| {
            let targets = paths(text)
                .into_iter()
                .filter_map(|path| target(module, &path, modules))
                .filter(|target| !target.starts_with(module) && !module.starts_with(target))
                .collect();
            (module.clone(), targets)
        })
        .collect()
}

/// The innermost module of a path.
fn target(from: &Module, path: &[String], modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut absolute = match path.first()?.as_str() {
        "crate" => Module::new(),
        _ => from.clone(),
    };
    for part in path {
        match part.as_str() {
            "crate" | "self" => {}
            "super" => drop(absolute.pop()),
            name => absolute.push(name.to_owned()),
        }
    }
    while !modules.contains_key(&absolute) {
        absolute.pop()?;
    }
    Some(absolute)
}

/// Every path of a text that begins with `crate::` or `super::`, with braces expanded.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default();
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + " ")
        .collect();
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if !before.is_some_and(|letter| letter.is_alphanumeric() || "_:".contains(letter)) {
                expand(&mut code[at..].chars().peekable(), &[], &mut found);
            }
        }
    }
    found
}

/// Parses `a::b::{c, d::e}` at the front and adds its paths, each with a prefix.
fn expand(
    text: &mut std::iter::Peekable<std::str::Chars<'_>>,
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) {
    let mut path = prefix.to_vec();
    loop {
        let mut name = String::new();
        while let Some(letter) = text.next_if(|letter| letter.is_alphanumeric() || *letter == '_') {
            name.push(letter);
        }
        if !name.is_empty() {
            path.push(name);
        }
        if text.next_if_eq(&':').is_some() {
            text.next_if_eq(&':');
            continue;
        }
        if text.next_if_eq(&'{').is_none() {
            found.push(path);
            return;
        }
        loop {
            while text
                .next_if(|letter| letter.is_whitespace() || *letter == ',')
                .is_some()
            {}
            if text
                .peek()
                .is_none_or(|letter| !letter.is_alphanumeric() && *letter != '_' && *letter != '*')
            {
                text.next_if_eq(&'}');
                return;
            }
            if text.next_if_eq(&'*').is_some() {
                found.push(path.clone());
            } else {
                expand(text, &path, found);
                // `name as other`
                while text.next_if(|letter| !",}".contains(*letter)).is_some() {}
            }
        }
    }
}

/// Groups of modules that import each other, directly or through others of the group.
fn circles(imports: &Imports) -> Vec<BTreeSet<Module>> {
    let reached: BTreeMap<&Module, BTreeSet<&Module>> = imports
        .keys()
        .map(|module| (module, reach(imports, module)))
        .collect();
    let mut found: Vec<BTreeSet<Module>> = Vec::new();
    for (module, others) in &reached {
        if others.contains(module) && !found.iter().any(|circle| circle.contains(*module)) {
            let circle = others
                .iter()
                .filter(|other| reached[**other].contains(module));
            found.push(circle.map(|other| (*other).clone()).collect());
        }
    }
    found
}

/// The modules reachable from one.
fn reach<'a>(imports: &'a Imports, from: &Module) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = open.pop() {
        if reached.insert(module) {
            open.extend(&imports[module]);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(modules: &[(&str, &str)]) -> Vec<String> {
        let modules = modules
            .iter()
            .map(|(file, text)| {
                let module = module(Path::new("src"), &Path::new("src").join(file)).unwrap();
                (module, (*text).to_owned())
            })
            .collect();
        circles(&imports(&modules)).iter().map(shown).collect()
    }

    #[test]
    fn a_circle_over_three_modules_is_found_whichever_way_they_import() {
        let modules = [
            (
                "drain.rs",
                "use crate::{session::{self, State}, wake::Wake};\n",
            ),
            (
                "session.rs",
                "use std::fmt;\nfn f() -> super::report::Report {}\n",
            ),
            (
                "report/mod.rs",
                "use crate::{\n    drain::Drain as D,\n    wake::*,\n};\n",
            ),
            ("wake.rs", ""),
            ("lib.rs", "mod drain; mod session; mod report; mod wake;\n"),
        ];
        assert_eq!(found(&modules), ["drain, report, session"]);
    }

    #[test]
    fn what_imports_only_downwards_or_between_parent_and_child_is_no_circle() {
        let modules = [
            (
                "pipeline/mod.rs",
                "mod drain;\npub(crate) use self::drain::Drain;\nuse crate::pipeline::drain::X;\n",
            ),
            ("pipeline/drain.rs", "use super::{Block, write::Writer};\n"),
            (
                "pipeline/write.rs",
                "// use super::drain::Drain;\nuse super::Block;\n\n#[cfg(test)]\nmod tests {\n    use crate::pipeline::drain::Drain;\n}\n",
            ),
            ("lib.rs", "mod pipeline;\n"),
        ];
        assert_eq!(found(&modules), [""; 0]);
    }

    #[test]
    fn files_of_tests_and_other_programs_are_no_modules_of_the_crate() {
        let source = Path::new("src");
        for file in [
            "src/trial/tests.rs",
            "src/bin/bench/main.rs",
            "src/client.py",
        ] {
            assert_eq!(module(source, Path::new(file)), None, "{file}");
        }
        assert_eq!(
            module(source, Path::new("src/main.rs")),
            Some(Module::new())
        );
    }
}
