//! The bridge between [`Host`](crate::Host) and the imports of the component.
#![allow(missing_docs, reason = "generated bindings, and glue that only `export!` uses")]
#![allow(unsafe_code, reason = "the generated entry points are C functions")]
#![allow(unused_qualifications, clippy::pedantic, reason = "generated code")]

use crate::redis::{
    Compared, ErrorKind, Holdings, Node, Page, RedisError, Replies, Request, StreamPlace,
    StreamReading, Value,
};
use crate::{
    CallError, Cluster, Done, Fault, FaultKind, Host, Level, Member, MemberKind, Mode, Plugin,
    Sample,
};

mod keys;

pub mod bindings {
    //! What `wit-bindgen` makes of the contract.
    wit_bindgen::generate!({
        path: "../wit",
        world: "asking-plugin",
        pub_export_macro: true,
        export_macro_name: "export_plugin",
        default_bindings_module: "baton_plugin::wasm::bindings",
    });
}

pub use bindings::baton::plugin::types::{Ask, Context, Fault as WitFault, Info};
pub use bindings::{Guest, export_plugin};

use bindings::baton::plugin::{clock, exec, http, log, probe, progress, redis, types};

/// The imports of the component as a [`Host`].
struct Doors(crate::Context);

impl Host for Doors {
    fn context(&self) -> &crate::Context {
        &self.0
    }

    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => log::Level::Debug,
            Level::Info => log::Level::Info,
            Level::Warn => log::Level::Warn,
            Level::Error => log::Level::Error,
        };
        log::write(level, message);
    }

    fn now_ms(&mut self) -> u64 {
        clock::now()
    }

    fn sleep(&mut self, milliseconds: u32) {
        clock::sleep(milliseconds);
    }

    fn report(&mut self, done: u64, total: Option<u64>, message: &str) {
        progress::report(done, total, message);
    }

    fn describe_cluster(&mut self, name: &str) -> Result<Cluster, RedisError> {
        redis::describe_cluster(name).map(cluster).map_err(error)
    }

    fn lineage(&mut self, cluster: &str) -> Result<Vec<Sample>, RedisError> {
        let samples = redis::lineage(cluster).map_err(error)?;
        Ok(samples.into_iter().map(sample).collect())
    }

    fn divergence(
        &mut self,
        cluster: &str,
        address: &str,
        replid: &str,
        place: StreamPlace,
        timeout_ms: u32,
    ) -> Result<StreamReading, RedisError> {
        let place = redis::StreamPlace {
            offset: place.offset,
            database: place.database,
            transaction: place.transaction,
        };
        redis::divergence(cluster, address, replid, place, timeout_ms)
            .map(divergence)
            .map_err(error)
    }

    fn call(
        &mut self,
        cluster: &str,
        requests: &[Request],
        timeout_ms: u32,
    ) -> Result<Vec<Result<Vec<Value>, RedisError>>, RedisError> {
        let requests: Vec<redis::Request> = requests
            .iter()
            .map(|request| redis::Request {
                address: request.address.clone(),
                commands: request.commands.iter().map(|it| it.words().to_vec()).collect(),
            })
            .collect();
        let results = redis::call(cluster, &requests, timeout_ms).map_err(error)?;
        Ok(results.into_iter().map(|result| replies(result.map_err(error)?)).collect())
    }

    fn read_each(
        &mut self,
        cluster: &str,
        address: &str,
        command: &[&str],
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Replies, RedisError> {
        let command: Vec<Vec<u8>> = command.iter().map(|it| it.as_bytes().to_vec()).collect();
        let keys: Vec<Vec<u8>> = keys.iter().map(|it| it.to_vec()).collect();
        redis::read_each(cluster, address, &command, &keys, timeout_ms)
            .map(Replies::new)
            .map_err(error)
    }

    fn compare(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let page = keys::page(page);
        redis::compare(cluster, left, right, &page, timeout_ms).map(keys::compared).map_err(error)
    }

    fn compare_keys(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        database: u32,
        keys: &[&[u8]],
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|it| it.to_vec()).collect();
        redis::compare_keys(cluster, left, right, database, &keys, timeout_ms)
            .map(keys::compared)
            .map_err(error)
    }

    fn absent(
        &mut self,
        cluster: &str,
        left: &str,
        right: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Compared, RedisError> {
        let page = keys::page(page);
        redis::absent(cluster, left, right, &page, timeout_ms).map(keys::compared).map_err(error)
    }

    fn inventory(
        &mut self,
        cluster: &str,
        address: &str,
        page: &Page,
        timeout_ms: u32,
    ) -> Result<Holdings, RedisError> {
        let page = keys::page(page);
        redis::inventory(cluster, address, &page, timeout_ms).map(keys::holdings).map_err(error)
    }

    fn http(
        &mut self,
        endpoint: &str,
        request: &crate::http::Request,
        timeout_ms: u32,
    ) -> Result<crate::http::Response, CallError> {
        let header = |(name, value): &(String, String)| http::Header {
            name: name.clone(),
            value: value.clone(),
        };
        let request = http::Request {
            method: method(request.method),
            path: request.path.clone(),
            headers: request.headers.iter().map(header).collect(),
            body: request.body.clone(),
        };
        let response = http::send(endpoint, &request, timeout_ms).map_err(door_error)?;
        Ok(crate::http::Response {
            status: response.status,
            headers: response.headers.into_iter().map(|it| (it.name, it.value)).collect(),
            body: response.body,
        })
    }

    fn exec(
        &mut self,
        command: &str,
        arguments: &[&str],
        timeout_ms: u32,
    ) -> Result<crate::exec::Output, CallError> {
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let output = exec::run(command, &arguments, timeout_ms).map_err(door_error)?;
        Ok(crate::exec::Output {
            exit: output.exit,
            signal: output.signal,
            stdout: output.stdout,
            stderr: output.stderr,
            left_out: output.left_out,
        })
    }

    fn probe(
        &mut self,
        targets: &[&str],
        timeout_ms: u32,
    ) -> Result<Vec<crate::probe::Finding>, CallError> {
        let targets: Vec<String> = targets.iter().map(|it| (*it).to_owned()).collect();
        let findings = probe::look(&targets, timeout_ms).map_err(door_error)?;
        let finding = |it: probe::Finding| crate::probe::Finding {
            up: it.up,
            latency_ms: it.latency_ms,
            reason: it.reason,
        };
        Ok(findings.into_iter().map(finding).collect())
    }
}

fn method(method: crate::http::Method) -> http::Method {
    match method {
        crate::http::Method::Get => http::Method::Get,
        crate::http::Method::Head => http::Method::Head,
        crate::http::Method::Post => http::Method::Post,
        crate::http::Method::Put => http::Method::Put,
        crate::http::Method::Patch => http::Method::Patch,
        crate::http::Method::Delete => http::Method::Delete,
    }
}

fn door_error(error: types::Error) -> CallError {
    let kind = match error.kind {
        types::ErrorKind::Denied => ErrorKind::Denied,
        types::ErrorKind::NotFound => ErrorKind::NotFound,
        types::ErrorKind::Refused => ErrorKind::Refused,
        types::ErrorKind::Unreachable => ErrorKind::Unreachable,
        types::ErrorKind::TimedOut => ErrorKind::TimedOut,
        types::ErrorKind::Closed => ErrorKind::Closed,
        types::ErrorKind::Protocol => ErrorKind::Protocol,
        types::ErrorKind::Limit => ErrorKind::Limit,
        types::ErrorKind::Internal => ErrorKind::Internal,
        types::ErrorKind::InDoubt => ErrorKind::InDoubt,
    };
    CallError::new(kind, error.message)
}

fn replies(replies: Vec<redis::Reply>) -> Result<Vec<Value>, RedisError> {
    replies
        .into_iter()
        .map(|nodes| {
            Value::from_nodes(nodes.into_iter().map(node).collect())
                .map_err(|why| RedisError::new(ErrorKind::Protocol, why.to_string()))
        })
        .collect()
}

fn node(node: redis::Node) -> Node {
    match node {
        redis::Node::Null => Node::Null,
        redis::Node::Boolean(it) => Node::Bool(it),
        redis::Node::Integer(it) => Node::Int(it),
        redis::Node::Double(it) => Node::Double(it),
        redis::Node::Bulk(it) => Node::Bulk(it),
        redis::Node::Simple(it) => Node::Simple(it),
        redis::Node::Error(it) => Node::Error(it),
        redis::Node::BigNumber(it) => Node::BigNumber(it),
        redis::Node::Array(it) => Node::Array(it),
        redis::Node::Map(it) => Node::Map(it),
        redis::Node::Set(it) => Node::Set(it),
        redis::Node::Push(it) => Node::Push(it),
    }
}

fn error(error: redis::Error) -> RedisError {
    let kind = match error.kind {
        redis::ErrorKind::Denied => ErrorKind::Denied,
        redis::ErrorKind::NotFound => ErrorKind::NotFound,
        redis::ErrorKind::Refused => ErrorKind::Refused,
        redis::ErrorKind::Unreachable => ErrorKind::Unreachable,
        redis::ErrorKind::TimedOut => ErrorKind::TimedOut,
        redis::ErrorKind::Closed => ErrorKind::Closed,
        redis::ErrorKind::Unauthorized => ErrorKind::Unauthorized,
        redis::ErrorKind::Protocol => ErrorKind::Protocol,
        redis::ErrorKind::Limit => ErrorKind::Limit,
        redis::ErrorKind::Internal => ErrorKind::Internal,
        redis::ErrorKind::InDoubt => ErrorKind::InDoubt,
    };
    RedisError::new(kind, error.message)
}

fn sample(it: redis::Sample) -> Sample {
    Sample {
        address: it.address,
        at_ms: it.at_ms,
        run_id: it.run_id,
        master: it.master,
        replid: it.replid,
        replid2: it.replid2,
        second_offset: it.second_offset,
        offset: it.offset,
        keys: it.keys,
    }
}

fn divergence(it: redis::StreamReading) -> StreamReading {
    use crate::redis::{Streamed, Stretch, Unreadable};
    match it {
        redis::StreamReading::Read(it) => StreamReading::Read(Stretch {
            end: it.end,
            writes: it
                .writes
                .into_iter()
                .map(|it| Streamed {
                    offset: it.offset,
                    size: it.size,
                    database: it.database,
                    transaction: it.transaction,
                    name: it.name,
                    keys: it.keys,
                    whole: it.whole,
                    text: it.text,
                })
                .collect(),
            idle_bytes: it.idle_bytes,
            next: it.next.map(|it| StreamPlace {
                offset: it.offset,
                database: it.database,
                transaction: it.transaction,
            }),
        }),
        redis::StreamReading::Unreadable((why, message)) => {
            let why = match why {
                redis::Unreadable::AnotherHistory => Unreadable::AnotherHistory,
                redis::Unreadable::Overwritten => Unreadable::Overwritten,
                redis::Unreadable::Refused => Unreadable::Refused,
            };
            StreamReading::Unreadable(why, message)
        }
    }
}

fn cluster(it: redis::Cluster) -> Cluster {
    Cluster {
        name: it.name,
        master_name: it.master_name,
        mode: match it.mode {
            redis::Mode::Observe => Mode::Observe,
            redis::Mode::Assist => Mode::Assist,
            redis::Mode::Lead => Mode::Lead,
        },
        members: it
            .members
            .into_iter()
            .map(|member| Member {
                address: member.address,
                kind: match member.kind {
                    redis::MemberKind::Data => MemberKind::Data,
                    redis::MemberKind::Sentinel => MemberKind::Sentinel,
                },
                zone: member.zone,
            })
            .collect(),
        down_after_ms: it.down_after_ms,
        restart_grace_ms: it.restart_grace_ms,
        max_lost_bytes: it.max_lost_bytes,
    }
}

fn context(it: types::Context) -> crate::Context {
    let done = it
        .done
        .into_iter()
        .map(|done| Done {
            attempt: done.attempt,
            index: done.index,
            request: done.request,
            outcome: done.outcome,
        })
        .collect();
    crate::Context {
        run_id: it.run_id,
        workflow: it.workflow,
        step: it.step,
        item: it.item,
        attempt: it.attempt,
        done,
    }
}

/// What [`export!`](crate::export) answers to `describe`.
pub fn describe<P: Plugin>() -> Info {
    let about = P::about();
    Info {
        name: about.name.into(),
        version: about.version.into(),
        summary: about.summary.into(),
        input_schema: crate::input_schema::<P>(),
        output_schema: crate::output_schema::<P>(),
        redis_commands: about.redis_commands.iter().map(|&it| it.into()).collect(),
        when_interrupted: about.when_interrupted.into(),
    }
}

/// What [`export!`](crate::export) answers to `asks`.
pub fn asks<P: Plugin>() -> Vec<Ask> {
    let methods = P::asks().http_methods;
    if methods.is_empty() {
        return Vec::new();
    }
    vec![Ask { door: "http".into(), what: methods.iter().map(|&it| it.into()).collect() }]
}

/// What [`export!`](crate::export) answers to `run`.
pub fn run<P: Plugin>(attempt: Context, input: &str) -> Result<String, WitFault> {
    crate::run_json::<P, _>(input, &mut Doors(context(attempt))).map_err(|fault: Fault| WitFault {
        kind: match fault.kind {
            FaultKind::Retryable => types::FaultKind::Retryable,
            FaultKind::Permanent => types::FaultKind::Permanent,
        },
        code: fault.code.into(),
        message: fault.message,
        details: fault.details.to_string(),
    })
}
