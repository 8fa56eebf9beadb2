//! The reply of ROLE.

use super::Value;

/// What a data node says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A master, with its replication offset.
    Master {
        /// Bytes of its replication stream.
        offset: i64,
    },
    /// A replica.
    Replica {
        /// `host:port` of its master.
        master: String,
        /// `connect`, `connecting`, `sync`, `connected`, `handshake`, `none`.
        link: String,
        /// Bytes it has processed; -1 when it never was connected.
        offset: i64,
    },
}

impl Role {
    /// Reads a reply; none where it is neither master nor replica.
    pub fn from_value(value: &Value) -> Option<Self> {
        let items = value.items();
        match items.first()?.text()?.as_ref() {
            "master" => Some(Self::Master { offset: items.get(1)?.int()? }),
            "slave" => Some(Self::Replica {
                master: format!("{}:{}", items.get(1)?.text()?, items.get(2)?.int()?),
                link: items.get(3)?.text()?.into_owned(),
                offset: items.get(4)?.int()?,
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_roles_are_read() {
        let master = Value::List(vec!["master".into(), Value::Int(7), Value::List(vec![])]);
        assert_eq!(Role::from_value(&master), Some(Role::Master { offset: 7 }));
        let replica = Value::List(vec![
            "slave".into(),
            "127.0.0.1".into(),
            Value::Int(7001),
            "connected".into(),
            Value::Int(-1),
        ]);
        assert_eq!(
            Role::from_value(&replica),
            Some(Role::Replica {
                master: "127.0.0.1:7001".into(),
                link: "connected".into(),
                offset: -1
            })
        );
        assert_eq!(Role::from_value(&Value::List(vec!["sentinel".into()])), None);
    }
}
