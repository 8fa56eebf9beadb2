//! `grants` of a step as written: one list for each door.

use super::read::{At, Fields, Reader, Span};
use super::text::Text;

/// `grants` of a step; nothing by default.
#[derive(Debug, Default)]
pub(in crate::workflow) struct GrantsDoc {
    pub(in crate::workflow) redis: Vec<GrantDoc>,
    pub(in crate::workflow) http: Vec<HttpGrantDoc>,
    pub(in crate::workflow) exec: Vec<ExecGrantDoc>,
    pub(in crate::workflow) probe: Vec<ProbeGrantDoc>,
}

/// One entry of `grants.redis`.
#[derive(Debug)]
pub(in crate::workflow) struct GrantDoc {
    pub(in crate::workflow) cluster: Option<Text>,
    pub(in crate::workflow) nodes: Option<Vec<Text>>,
    pub(in crate::workflow) commands: Option<Vec<Text>>,
    /// Where `commands` stands, to say what is missing there.
    pub(in crate::workflow) commands_span: Option<Span>,
    pub(in crate::workflow) keys: Vec<Text>,
}

/// One entry of `grants.http`.
#[derive(Debug)]
pub(in crate::workflow) struct HttpGrantDoc {
    pub(in crate::workflow) endpoint: Option<Text>,
    pub(in crate::workflow) methods: Option<Vec<Text>>,
    /// Where `methods` stands, to say what is missing there.
    pub(in crate::workflow) methods_span: Option<Span>,
    pub(in crate::workflow) paths: Option<Vec<Text>>,
    pub(in crate::workflow) only_reads: Option<At<bool>>,
}

/// One entry of `grants.exec`.
#[derive(Debug)]
pub(in crate::workflow) struct ExecGrantDoc {
    pub(in crate::workflow) commands: Option<Vec<Text>>,
    pub(in crate::workflow) only_reads: Option<At<bool>>,
}

/// One entry of `grants.probe`.
#[derive(Debug)]
pub(in crate::workflow) struct ProbeGrantDoc {
    pub(in crate::workflow) targets: Option<Vec<Text>>,
}

impl GrantsDoc {
    pub(super) fn read(parent: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let Some(value) = parent.take("grants") else { return Self::default() };
        let Some(mut grants) = Fields::of(value, "grants", "`grants`", reader) else {
            return Self::default();
        };
        let read = Self {
            redis: entries(&mut grants, ("redis", "a Redis grant"), reader, GrantDoc::read),
            http: entries(&mut grants, ("http", "an HTTP grant"), reader, HttpGrantDoc::read),
            exec: entries(&mut grants, ("exec", "an exec grant"), reader, ExecGrantDoc::read),
            probe: entries(&mut grants, ("probe", "a probe grant"), reader, ProbeGrantDoc::read),
        };
        grants.finish(reader);
        read
    }
}

/// Each table of the list under `key`.
fn entries<T>(
    grants: &mut Fields<'_, '_>,
    (key, what): (&'static str, &'static str),
    reader: &mut Reader<'_>,
    read: fn(&mut Fields<'_, '_>, &mut Reader<'_>) -> T,
) -> Vec<T> {
    let Some(list) = grants.take(key) else { return Vec::new() };
    let mut all = Vec::new();
    for item in reader.items_of(key, list) {
        let Some(mut fields) = Fields::of(item, key, what, reader) else { continue };
        all.push(read(&mut fields, reader));
        fields.finish(reader);
    }
    all
}

impl GrantDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let read = Self {
            cluster: fields.text("cluster", reader),
            nodes: fields.texts("nodes", reader),
            commands: fields.texts("commands", reader),
            commands_span: fields.key_span("commands"),
            keys: fields.texts("keys", reader).unwrap_or_default(),
        };
        fields.require("cluster", "cluster = \"${params.cluster}\"", reader);
        fields.require("nodes", "nodes = [\"data\"] (or \"sentinels\", or \"host:port\")", reader);
        fields.require("commands", "commands = [\"@read\"]", reader);
        read
    }
}

impl HttpGrantDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let read = Self {
            endpoint: fields.text("endpoint", reader),
            methods: fields.texts("methods", reader),
            methods_span: fields.key_span("methods"),
            paths: fields.texts("paths", reader),
            only_reads: fields.flag("only_reads", reader),
        };
        fields.require(
            "endpoint",
            "endpoint = \"prometheus\", a name of [http] in baton.toml",
            reader,
        );
        fields.require("methods", "methods = [\"GET\"]", reader);
        fields.require("paths", "paths = [\"/api/v1/query\"]", reader);
        read
    }
}

impl ExecGrantDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let read = Self {
            commands: fields.texts("commands", reader),
            only_reads: fields.flag("only_reads", reader),
        };
        fields.require("commands", "commands = [\"…\"], names of [exec] in baton.toml", reader);
        read
    }
}

impl ProbeGrantDoc {
    fn read(fields: &mut Fields<'_, '_>, reader: &mut Reader<'_>) -> Self {
        let read = Self { targets: fields.texts("targets", reader) };
        fields.require("targets", "targets = [\"…\"], names of [probe] in baton.toml", reader);
        read
    }
}
