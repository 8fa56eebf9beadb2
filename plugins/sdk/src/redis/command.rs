//! Commands and what is sent to one member.

/// A command and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(Vec<Vec<u8>>);

impl Command {
    /// From words: `Command::of(["SET", key, value])`.
    pub fn of<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        Self(words.into_iter().map(|word| word.as_ref().to_vec()).collect())
    }

    /// From one line whose words hold no spaces: `Command::line("INFO replication")`.
    pub fn line(line: &str) -> Self {
        Self::of(line.split_whitespace())
    }

    /// Its words.
    pub fn words(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// Its words as text, for logs and tests.
    pub fn texts(&self) -> Vec<String> {
        self.0.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }
}

/// Commands for one member, sent as one pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `host:port`, as baton.toml spells it.
    pub address: String,
    /// In order.
    pub commands: Vec<Command>,
}

impl Request {
    /// Some commands for one member.
    pub fn new(address: impl Into<String>, commands: Vec<Command>) -> Self {
        Self { address: address.into(), commands }
    }
}
