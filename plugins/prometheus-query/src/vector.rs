//! What Prometheus answers to an instant query (HTTP API v1, "Expression query result
//! formats"). Whatever else may come is refused in words.

use serde_json::Value as Json;

/// Labels beyond this are cut: they are for people.
const LABELS_CHARS_MAX: usize = 200;
/// Of what Prometheus says of a wrong query.
const ERROR_CHARS_MAX: usize = 300;

/// One value of a vector.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: String,
    pub(crate) number: f64,
    /// As it came.
    pub(crate) text: String,
}

/// The values of an answer.
///
/// # Errors
/// In words: what Prometheus says, or what is odd about its answer.
pub(crate) fn samples(answer: &Json) -> Result<Vec<Sample>, String> {
    if answer["status"] == "error" {
        let text = answer["error"].as_str().unwrap_or("it does not say why");
        return Err(format!("Prometheus refuses it: {}", cut(text, ERROR_CHARS_MAX)));
    }
    let (kind, result) = (&answer["data"]["resultType"], &answer["data"]["result"]);
    match kind.as_str() {
        Some("vector") => {
            let list = result.as_array().ok_or("a vector that is no list")?;
            list.iter().map(|it| sample(labels(&it["metric"]), &it["value"])).collect()
        }
        Some("scalar") => Ok(vec![sample(String::new(), result)?]),
        Some(other) => {
            let other = cut(other, ERROR_CHARS_MAX);
            Err(format!(
                "it gives a {other}: write an instant query that gives a vector or a scalar"
            ))
        }
        None => Err("the answer is not Prometheus's".to_owned()),
    }
}

/// `[time, "value"]`.
fn sample(labels: String, value: &Json) -> Result<Sample, String> {
    let text = value[1].as_str().ok_or("a value that is no text")?;
    let number = match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ => text.parse().map_err(|_| format!("`{}` is no number", cut(text, 40)))?,
    };
    Ok(Sample { labels, number, text: cut(text, 40) })
}

/// `name{job="api"}`.
fn labels(metric: &Json) -> String {
    let Some(all) = metric.as_object() else { return String::new() };
    let name = metric["__name__"].as_str().unwrap_or_default();
    let pairs: Vec<String> = all
        .iter()
        .filter(|(key, _)| *key != "__name__")
        .map(|(key, value)| format!("{key}={:?}", value.as_str().unwrap_or_default()))
        .collect();
    let text =
        if pairs.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(", ")) };
    cut(&text, LABELS_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text.to_owned();
    }
    let head: String = text.chars().take(chars_max).collect();
    format!("{head}…")
}
