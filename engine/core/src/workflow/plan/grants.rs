//! What a step lets its plugin reach.

/// What a plugin may reach; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Redis, one entry a cluster.
    pub redis: Vec<RedisGrant>,
    /// HTTP, one entry an endpoint.
    pub http: Vec<HttpGrant>,
    /// Commands of the machine that the engine runs on.
    pub exec: Vec<ExecGrant>,
    /// Things to look at.
    pub probe: Vec<ProbeGrant>,
}

/// Access to one Redis cluster of baton.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisGrant {
    /// The cluster's name, or `${params.NAME}`, filled by [`crate::run::input`].
    pub cluster: String,
    /// `data` (every data node), `sentinels`, or single addresses `host:port`.
    pub nodes: Vec<String>,
    /// Command names (`GET`, `CONFIG|GET`) and `@read`, upper case.
    pub commands: Vec<String>,
    /// Glob patterns of keys; empty: no command that names a key.
    pub keys: Vec<String>,
}

/// Requests to one endpoint of baton.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpGrant {
    /// The endpoint's name.
    pub endpoint: String,
    /// Methods, upper case.
    pub methods: Vec<String>,
    /// Patterns of paths below the endpoint's own: `*` stands for anything within one
    /// segment, `**` as the last segment for anything below.
    pub paths: Vec<String>,
    /// What is no read by its method, or by the endpoint's own word in baton.toml, is
    /// refused.
    pub only_reads: bool,
}

impl HttpGrant {
    /// Whether nothing can be changed by it.
    pub fn reads(&self) -> bool {
        self.only_reads || self.methods.iter().all(|method| ["GET", "HEAD"].contains(&&**method))
    }
}

/// Commands of baton.toml.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecGrant {
    /// Their names.
    pub commands: Vec<String>,
    /// A command whose class in baton.toml is not `read` is refused.
    pub only_reads: bool,
}

/// Targets of baton.toml to look at; looking changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeGrant {
    /// Their names.
    pub targets: Vec<String>,
}
