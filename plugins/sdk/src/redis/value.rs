//! A reply as a tree, built from the flat list that crosses the wall.

use std::{borrow::Cow, fmt};

/// One node of the flat, pre-order list.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// Nil.
    Null,
    /// RESP3 boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// RESP3 double.
    Double(f64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// A status such as `OK`.
    Simple(String),
    /// An error reply, whole.
    Error(String),
    /// RESP3 big number.
    BigNumber(String),
    /// This many values follow as elements.
    Array(u32),
    /// This many pairs follow.
    Map(u32),
    /// This many values follow as members.
    Set(u32),
    /// This many values follow.
    Push(u32),
}

/// What a server replied.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nil.
    Null,
    /// RESP3 boolean.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// RESP3 double.
    Double(f64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// A status such as `OK`.
    Simple(String),
    /// An error reply, whole: `WRONGTYPE Operation against …`.
    Error(String),
    /// RESP3 big number.
    BigNumber(String),
    /// An array, set or push: a list of values.
    List(Vec<Value>),
    /// RESP3 map.
    Map(Vec<(Value, Value)>),
}

/// A flat list that is no tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The list ended inside a value.
    Short,
    /// Values were left over.
    Long,
    /// Nested deeper than [`DEPTH_MAX`].
    Deep,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Short => "the reply ends inside a value",
            Self::Long => "the reply goes on after its value",
            Self::Deep => "the reply is nested too deep",
        })
    }
}

/// Redis nests replies less than ten deep; a guest's stack is small.
const DEPTH_MAX: u32 = 32;

impl Value {
    /// Builds the tree.
    ///
    /// # Errors
    /// [`Malformed`] where the list is no tree.
    pub fn from_nodes(nodes: Vec<Node>) -> Result<Self, Malformed> {
        let mut nodes = nodes.into_iter();
        let value = Self::take(&mut nodes, 0)?;
        if nodes.next().is_some() { Err(Malformed::Long) } else { Ok(value) }
    }

    fn take(nodes: &mut std::vec::IntoIter<Node>, depth: u32) -> Result<Self, Malformed> {
        if depth > DEPTH_MAX {
            return Err(Malformed::Deep);
        }
        Ok(match nodes.next().ok_or(Malformed::Short)? {
            Node::Null => Self::Null,
            Node::Bool(it) => Self::Bool(it),
            Node::Int(it) => Self::Int(it),
            Node::Double(it) => Self::Double(it),
            Node::Bulk(it) => Self::Bulk(it),
            Node::Simple(it) => Self::Simple(it),
            Node::Error(it) => Self::Error(it),
            Node::BigNumber(it) => Self::BigNumber(it),
            Node::Array(count) | Node::Set(count) | Node::Push(count) => Self::List(
                (0..count).map(|_| Self::take(nodes, depth + 1)).collect::<Result<_, _>>()?,
            ),
            Node::Map(count) => Self::Map(
                (0..count)
                    .map(|_| Ok((Self::take(nodes, depth + 1)?, Self::take(nodes, depth + 1)?)))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Text of a string, number or status; not of an error.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes)),
            Self::Simple(text) | Self::BigNumber(text) => Some(Cow::Borrowed(text)),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::Double(number) => Some(Cow::Owned(number.to_string())),
            Self::Null | Self::Bool(_) | Self::Error(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// A whole number, spelled either way.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(_)
            | Self::Null
            | Self::Double(_)
            | Self::Bulk(_)
            | Self::Simple(_)
            | Self::Error(_)
            | Self::BigNumber(_)
            | Self::List(_)
            | Self::Map(_) => self.text()?.parse().ok(),
        }
    }

    /// A double, spelled either way (RESP2 sends text).
    pub fn double(&self) -> Option<f64> {
        if let Self::Double(number) = self { Some(*number) } else { self.text()?.parse().ok() }
    }

    /// The elements of a list; none for anything else.
    pub fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// Pairs of a map, or of the flat list that RESP2 sends for one.
    pub fn pairs(&self) -> Vec<(&Self, &Self)> {
        if let Self::Map(pairs) = self {
            pairs.iter().map(|(key, value)| (key, value)).collect()
        } else {
            self.items().chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect()
        }
    }

    /// The value of a key, in a map or flat list.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(pairs) => pairs.iter().find(|(key, _)| key.is_text(name)).map(|it| &it.1),
            Self::List(items) => {
                items.chunks_exact(2).find(|pair| pair[0].is_text(name)).map(|pair| &pair[1])
            }
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bulk(_)
            | Self::Simple(_)
            | Self::Error(_)
            | Self::BigNumber(_) => None,
        }
    }

    fn is_text(&self, text: &str) -> bool {
        match self {
            Self::Bulk(bytes) => bytes == text.as_bytes(),
            Self::Simple(it) => it == text,
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Error(_)
            | Self::BigNumber(_)
            | Self::List(_)
            | Self::Map(_) => self.text().is_some_and(|it| it == text),
        }
    }

    /// The text of a key, in a map or flat list.
    pub fn field_text(&self, name: &str) -> Option<String> {
        self.field(name)?.text().map(Cow::into_owned)
    }

    /// An error reply's text.
    pub fn error(&self) -> Option<&str> {
        if let Self::Error(text) = self { Some(text) } else { None }
    }
}

/// `Value::from("x")` is a bulk string.
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bulk(text.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_list_becomes_the_tree_it_came_from() {
        let nodes = vec![
            Node::Array(3),
            Node::Int(1),
            Node::Map(1),
            Node::Bulk(b"k".to_vec()),
            Node::Array(0),
            Node::Null,
        ];
        let tree = Value::List(vec![
            Value::Int(1),
            Value::Map(vec![(Value::from("k"), Value::List(vec![]))]),
            Value::Null,
        ]);
        assert_eq!(Value::from_nodes(nodes), Ok(tree));
    }

    #[test]
    fn a_list_that_is_no_tree_is_refused() {
        assert_eq!(Value::from_nodes(vec![Node::Array(1)]), Err(Malformed::Short));
        assert_eq!(Value::from_nodes(vec![Node::Null, Node::Null]), Err(Malformed::Long));
        assert_eq!(Value::from_nodes(vec![Node::Array(1); 100]), Err(Malformed::Deep));
    }

    #[test]
    fn maps_read_alike_in_both_protocols() {
        let resp2 = Value::List(vec![Value::from("ip"), Value::from("::1")]);
        let resp3 = Value::Map(vec![(Value::from("ip"), Value::from("::1"))]);
        assert_eq!(resp2.field_text("ip").as_deref(), Some("::1"));
        assert_eq!(resp3.field_text("ip").as_deref(), Some("::1"));
    }
}
