//! JSON objects whose members stay text, in the order given, and merge patches on them (RFC 7396).
//!
//! Members that a patch leaves alone keep their text to the letter. Merging recurses into nested objects: check
//! [`depth`] of patches from outside first.

use super::envelope::push_string;
use super::incoming::parse_object;
use super::malformed::Malformed;
use super::patch::Text;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

/// Of two members with one name, the later counts.
#[derive(Debug, Default)]
pub struct Members<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        parse_object(text)
    }

    /// As JSON.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.members.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.get())
    }

    /// In order, each value as JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let members = self.members.iter();
        members.map(|(name, value)| (&**name, value.get()))
    }

    pub fn without(mut self, names: &[&str]) -> Self {
        self.members.retain(|(name, _)| !names.contains(&&**name));
        self
    }

    /// The depth of the deepest value.
    pub fn depth(&self) -> usize {
        let values = self.members.iter();
        values
            .map(|(_, value)| depth(value.get()))
            .max()
            .unwrap_or(0)
    }

    pub fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in &self.members {
            push_name(&mut out, name);
            out.push_str(value.get());
        }
        out.push('}');
        out
    }

    /// `null` removes a member, objects merge, anything else replaces. Members keep their order; new ones come last.
    pub fn merge(&self, patch: &Members<'_>) -> Result<String, Malformed> {
        let mut out = String::new();
        self.push_merged(patch, &mut out)?;
        Ok(out)
    }

    fn push_merged(&self, patch: &Members<'_>, out: &mut String) -> Result<(), Malformed> {
        let changes = patch.members.iter();
        let mut changes: HashMap<&str, &str> = changes
            .map(|(name, value)| (&**name, value.get()))
            .collect();
        out.push('{');
        for (name, value) in &self.members {
            push_change(out, name, Some(value.get()), changes.remove(&**name))?;
        }
        for (name, _) in &patch.members {
            if let Some(change) = changes.remove(&**name) {
                push_change(out, name, None, Some(change))?;
            }
        }
        out.push('}');
        Ok(())
    }
}

/// Appends one member after the patch.
fn push_change(
    out: &mut String,
    name: &str,
    value: Option<&str>,
    change: Option<&str>,
) -> Result<(), Malformed> {
    if change == Some("null") {
        return Ok(());
    }
    push_name(out, name);
    let Some(change) = change.filter(|change| is_object(change)) else {
        out.push_str(change.or(value).unwrap_or("null"));
        return Ok(());
    };
    let target = match value.filter(|value| is_object(value)) {
        Some(value) => Members::parse(value)?,
        None => Members::default(),
    };
    target.push_merged(&Members::parse(change)?, out)
}

fn push_name(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    push_string(out, name);
    out.push(':');
}

fn is_object(json: &str) -> bool {
    json.starts_with('{')
}

/// How many arrays and objects enclose the innermost part of a JSON text.
pub fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut places: HashMap<Cow<'de, str>, usize> = HashMap::new();
                let mut members = Vec::new();
                while let Some((Text(name), value)) =
                    map.next_entry::<Text<'de>, &'de RawValue>()?
                {
                    let place = *places.entry(name.clone()).or_insert(members.len());
                    match members.get_mut(place) {
                        Some(earlier) => *earlier = (name, value),
                        None => members.push((name, value)),
                    }
                }
                Ok(Members { members })
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn merged(target: &str, patch: &str) -> String {
        let (target, patch) = (
            Members::parse(target).unwrap(),
            Members::parse(patch).unwrap(),
        );
        target.merge(&patch).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_7396() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            (r#"{"a":{"b":null}}"#, r#"{"a":{"b":null}}"#, r#"{"a":{}}"#),
            (
                r#"{}"#,
                r#"{"a":{"bb":{"ccc":null}}}"#,
                r#"{"a":{"bb":{}}}"#,
            ),
        ] {
            assert_eq!(merged(target, patch), result, "{target} with {patch}");
        }
    }

    #[test]
    fn order_and_numbers_stay_to_the_letter() {
        let target = r#"{"z": 1.50, "a": [ 1 ], "long": 123456789012345678901234567890}"#;
        assert_eq!(
            merged(target, r#"{"new":-0.0,"a":"\u00e9"}"#),
            r#"{"z":1.50,"a":"\u00e9","long":123456789012345678901234567890,"new":-0.0}"#
        );
    }

    #[test]
    fn of_two_members_of_one_name_the_later_counts() {
        let members = Members::parse(r#"{"a":1,"b":2,"\u0061":3}"#).unwrap();
        assert_eq!(members.to_json(), r#"{"a":3,"b":2}"#);
        assert_eq!(merged("{}", r#"{"a":1,"a":null}"#), "{}");
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (json, expected) in [
            ("1", 0),
            (r#""{[\"[[""#, 0),
            ("[]", 1),
            (r#"{"a\\":[{}],"[":1}"#, 3),
            (r#"[[],[[]]]"#, 3),
        ] {
            assert_eq!(depth(json), expected, "{json}");
        }
        assert_eq!(depth(&"[".repeat(100_000)), 100_000);
        let members = Members::parse(r#"{"a":[[1]],"b":{}}"#).unwrap();
        assert_eq!(members.depth(), 2);
    }

    /// RFC 7396 section 2, as it stands there.
    fn model(target: Option<&Value>, patch: &Value) -> Value {
        let Value::Object(patch) = patch else {
            return patch.clone();
        };
        let mut result = target
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                result.remove(name);
            } else {
                let merged = model(result.get(name), value);
                result.insert(name.clone(), merged);
            }
        }
        Value::Object(result)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\é]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                object(inner)
            ]
        })
    }

    fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[a-c\"\\\\]", inner, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn merging_agrees_with_the_rfc(target in object(value()), patch in object(value())) {
            let result = merged(&target.to_string(), &patch.to_string());
            let result: Value = serde_json::from_str(&result).unwrap();
            prop_assert_eq!(result, model(Some(&target), &patch));
        }
    }
}
