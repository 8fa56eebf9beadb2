//! What a component wants against what this host has, said in words before
//! anything is instantiated.

use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

/// Interfaces that this host gives, with their functions. A test holds this
/// against the WIT.
pub(super) const OFFERED: &[(&str, &[&str])] = &[
    ("clock", &["now", "sleep"]),
    ("exec", &["run"]),
    ("http", &["send"]),
    ("log", &["write"]),
    ("probe", &["look"]),
    ("progress", &["report"]),
    (
        "redis",
        &[
            "absent",
            "call",
            "compare",
            "compare-keys",
            "describe-cluster",
            "divergence",
            "inventory",
            "lineage",
            "read-each",
        ],
    ),
    ("types", &[]),
];
const PACKAGE: &str = "baton:plugin";
/// Contract versions of this major link by semantic versioning.
const MAJOR: &str = "1";

/// Whether `bytes` begin as a component does.
pub(super) fn is_component(bytes: &[u8]) -> Result<(), String> {
    match bytes.get(..8) {
        None => Err(format!("it has only {} bytes: build or copy it again", bytes.len())),
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(
            "it is a core WebAssembly module, not a component: `cargo xtask plugins` makes components of modules"
                .to_owned(),
        ),
        Some([0, b'a', b's', b'm', ..]) => {
            Err("it is WebAssembly of a format that this host does not know".to_owned())
        }
        Some(_) => Err("it is not WebAssembly".to_owned()),
    }
}

/// The interfaces it imports (`baton:plugin/redis`), sorted, types left out.
pub(super) fn imports(component: &Component) -> Result<Vec<String>, String> {
    let engine = component.engine();
    let mut found = Vec::new();
    let mut flaws = Vec::new();
    let kind = component.component_type();
    for (import, item) in kind.imports(engine) {
        let Some((name, functions)) = offered(import) else {
            flaws.push(foreign(import));
            continue;
        };
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            flaws.push(format!("it imports {import} as something else than an interface"));
            continue;
        };
        for (function, item) in instance.exports(engine) {
            if matches!(item.ty, ComponentItem::ComponentFunc(_)) && !functions.contains(&function)
            {
                flaws.push(format!(
                    "it wants `{function}` of {import}, which this host does not have: the plugin was built for a newer Baton"
                ));
            }
        }
        if !functions.is_empty() {
            found.push(format!("{PACKAGE}/{name}"));
        }
    }
    if !flaws.is_empty() {
        return Err(flaws.join("; "));
    }
    found.sort_unstable();
    Ok(found)
}

fn offered(import: &str) -> Option<(&'static str, &'static [&'static str])> {
    let (path, version) = import.split_once('@')?;
    let name = path.strip_prefix(PACKAGE)?.strip_prefix('/')?;
    let fits = version.split('.').next() == Some(MAJOR);
    OFFERED.iter().copied().find(|(known, _)| fits && *known == name)
}

fn foreign(import: &str) -> String {
    if import.starts_with("wasi:") {
        return format!(
            "it imports {import}, and this host links no WASI: build Rust for wasm32-unknown-unknown, other languages with WASI stubbed"
        );
    }
    if import.starts_with(PACKAGE) {
        return format!(
            "it imports {import}, which this host does not have: this host gives {PACKAGE} {MAJOR}.x with {}",
            OFFERED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        );
    }
    format!("it imports {import}, which this host does not give: a plugin reaches {PACKAGE} only")
}

/// Whether it exports what a plugin must.
pub(super) fn exports(component: &Component) -> Result<(), String> {
    let kind = component.component_type();
    for function in ["describe", "run"] {
        let found = kind.get_export(component.engine(), function).map(|item| item.ty);
        if !matches!(found, Some(ComponentItem::ComponentFunc(_))) {
            return Err(format!(
                "it exports no function `{function}`: it was not built for the world `plugin` of {PACKAGE}"
            ));
        }
    }
    Ok(())
}

/// Same names, other types.
pub(super) fn other_version(error: &wasmtime::Error) -> String {
    format!(
        "its functions have other types than {PACKAGE} {MAJOR}.x ({error:#}): build it again with this Baton's WIT"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_what_the_wit_says() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../plugins/wit");
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_dir(folder).expect("the WIT is sound");
        let mut written: Vec<(String, Vec<String>)> = resolve.packages[package]
            .interfaces
            .iter()
            .map(|(name, id)| {
                let mut functions: Vec<String> =
                    resolve.interfaces[*id].functions.keys().cloned().collect();
                functions.sort_unstable();
                (name.clone(), functions)
            })
            .collect();
        written.sort_unstable();
        let offered: Vec<(String, Vec<String>)> = OFFERED
            .iter()
            .map(|(name, functions)| {
                ((*name).to_owned(), functions.iter().map(|text| (*text).to_owned()).collect())
            })
            .collect();
        assert_eq!(offered, written);
        let version = resolve.packages[package].name.version.as_ref().expect("it has a version");
        assert_eq!(version.major.to_string(), MAJOR);
    }
}
