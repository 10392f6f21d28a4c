//! JSON and MessagePack in both directions, against what serde makes of the same bytes.

use super::pack::push_json;
use super::unpack::{Unpackable, unpack};
use proptest::prelude::*;
use serde_json::{Value, json};

fn packed(json: &str) -> Vec<u8> {
    let mut out = Vec::new();
    push_json(&mut out, json);
    out
}

/// What a generic reader and a generic writer make of a text, which is how messages were packed before.
fn packed_by_serde(json: &str) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_str(json).ok()?;
    rmp_serde::to_vec_named(&value).ok()
}

fn json_of(packed: &[u8]) -> Result<String, String> {
    unpack(packed, usize::MAX).map_err(|fault| match fault {
        Unpackable::Malformed(malformed) => malformed.to_string(),
        Unpackable::TooLong => "too long".to_owned(),
    })
}

fn reason(packed: &[u8]) -> String {
    json_of(packed).expect_err("it is refused")
}

#[test]
fn numbers_and_texts_are_packed_as_short_as_they_go() {
    for (json, bytes) in [
        ("7", &[7_u8][..]),
        ("-0", &[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ("-32", &[0xe0]),
        ("-33", &[0xd0, 0xdf]),
        ("255", &[0xcc, 255]),
        ("1.0", &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        ("1e0", &[0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
        (r#""\u00e9\n\ud83d\ude00""#, "\u{a7}é\n😀".as_bytes()),
        (
            r#" [ true , false,null ,[],{ }] "#,
            &[0x95, 0xc3, 0xc2, 0xc0, 0x90, 0x80],
        ),
    ] {
        let expected = match json.starts_with(r#""\u"#) {
            true => [&[0xa7], &bytes[2..]].concat(),
            false => bytes.to_vec(),
        };
        assert_eq!(packed(json), expected, "{json}");
    }
    let most = packed("18446744073709551615");
    assert_eq!(most, [&[0xcf][..], &[255; 8]].concat());
    let least = packed("-9223372036854775808");
    assert_eq!(least, [0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    let beyond: f64 = rmp_serde::from_slice(&packed("18446744073709551616")).unwrap();
    assert_eq!(beyond, 18_446_744_073_709_551_616.0);
}

#[test]
fn lengths_that_need_more_bytes_have_them() {
    for count in [15, 16, 65_535, 65_536] {
        let array = format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(Some(packed(&array)), packed_by_serde(&array));
        let members: Vec<String> = (0..count).map(|n| format!("\"{n:06}\":1")).collect();
        let map = format!("{{{}}}", members.join(","));
        assert_eq!(Some(packed(&map)), packed_by_serde(&map));
        let text = format!("\"{}\"", "x".repeat(count));
        assert_eq!(Some(packed(&text)), packed_by_serde(&text));
    }
}

#[test]
fn what_cannot_be_packed_goes_as_text_and_leaves_nothing_behind() {
    let deep = format!("{}{}", "[".repeat(127), "]".repeat(127));
    for json in ["[1,1e999]", r#"{"a":1,"b":"\ud800"}"#, &deep] {
        let text: String = rmp_serde::from_slice(&packed(json)).unwrap();
        assert_eq!(text, json);
    }
    let deepest = format!("{}{}", "[".repeat(126), "]".repeat(126));
    assert_eq!(Some(packed(&deepest)), packed_by_serde(&deepest));
}

#[test]
fn members_of_one_name_all_stay() {
    let json = r#"{"a":1,"a":2}"#;
    assert_eq!(packed(json), [0x82, 0xa1, b'a', 1, 0xa1, b'a', 2]);
    assert_eq!(json_of(&packed(json)).unwrap(), json);
}

#[test]
fn whole_numbers_and_floats_keep_their_value() {
    for (bytes, json) in [
        (
            vec![0xcf, 255, 255, 255, 255, 255, 255, 255, 255],
            "18446744073709551615",
        ),
        (
            vec![0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0],
            "-9223372036854775808",
        ),
        (vec![0xd0, 0x80], "-128"),
        (vec![0xff], "-1"),
        ([&[0xca][..], &0.1_f32.to_be_bytes()].concat(), "0.1"),
        ([&[0xcb][..], &0.1_f64.to_be_bytes()].concat(), "0.1"),
        ([&[0xcb][..], &2.0_f64.to_be_bytes()].concat(), "2.0"),
        (vec![0xa3, b'"', 1, b'\\'], r#""\"\u0001\\""#),
    ] {
        assert_eq!(json_of(&bytes).unwrap(), json);
    }
}

#[test]
fn what_json_cannot_say_is_refused_with_its_place() {
    let nan = [
        &[0x81, 0xa1, b'a', 0x92, 1, 0xcb][..],
        &f64::NAN.to_be_bytes(),
    ]
    .concat();
    assert_eq!(
        reason(&nan),
        "a[1]: `NaN` is not JSON; expected a number, or nil where none is known"
    );
    let infinite = [&[0xca][..], &f32::NEG_INFINITY.to_be_bytes()].concat();
    assert!(reason(&infinite).starts_with("`-inf` is not JSON"));
    assert_eq!(
        reason(&[0x81, 0xa1, b'a', 0xc4, 1, 0]),
        "a: binary data is not JSON; expected a string, for instance in base64"
    );
    let expected = "nil, a boolean, a number, a string, an array or a map";
    assert_eq!(
        reason(&[0x81, 0xa1, b'a', 0x81, 0xa1, b'b', 0xd6, 255, 0, 0, 0, 0]),
        format!("a.b: an extension (type -1) is not JSON; expected {expected}")
    );
    assert_eq!(
        reason(&[0x82, 0xa1, b'a', 1, 5, 1]),
        "a key of this map is a whole number; expected a string"
    );
    assert_eq!(reason(&[0x91, 0xa1, 0xff]), "[0]: a string is not UTF-8");
    assert_eq!(reason(&[0xc1]), "the byte 0xc1 begins no value");
    assert_eq!(
        reason(&[0x80, 0xc0]),
        "1 bytes follow the value; expected one value in each message"
    );
    let deep = vec![0x91; 1_000_000];
    assert!(
        reason(&deep).ends_with("nested too deep; expected at most 127 levels of arrays and maps")
    );
}

#[test]
fn lengths_that_are_claimed_and_not_there_reserve_nothing() {
    for lie in [
        &[0xdd, 255, 255, 255, 255][..],
        &[0xdf, 255, 255, 255, 255, 0xa0, 0xc0],
        &[0xdb, 255, 255, 255, 255, b'a'],
        &[0xc6, 255, 255, 255, 255],
        &[0x92, 1],
        &[0x81, 0xa1],
        &[0xcf, 1],
        &[],
    ] {
        let reason = reason(lie);
        assert!(
            reason.contains("ends in the middle") || reason.contains("binary"),
            "{reason}"
        );
    }
}

#[test]
fn text_grows_to_its_limit_and_no_further() {
    let nils = [&[0xdc, 1, 0][..], &[0xc0; 256]].concat();
    let length = json_of(&nils).unwrap().len();
    assert_eq!(length, 5 * 256 + 1);
    assert!(unpack(&nils, length).is_ok());
    assert_eq!(unpack(&nils, length - 1), Err(Unpackable::TooLong));
    let controls = [&[0xda, 1, 0][..], &[1; 256]].concat();
    assert_eq!(unpack(&controls, 100), Err(Unpackable::TooLong));
    let text = [&[0xda, 1, 0][..], &[b'a'; 256]].concat();
    assert_eq!(unpack(&text, 257), Err(Unpackable::TooLong));
    assert!(unpack(&text, 258).is_ok());
}

/// Trees whose maps are written in the order of their names, as serde keeps them.
fn trees() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-200_i64..300).prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[\\x00-\\x1f\"\\\\a]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Bytes that begin more than nonsense does.
fn byte_strings() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), 0x80..0xe0_u8, Just(0xa1), Just(b'a')];
    prop::collection::vec(byte, 0..60)
}

proptest! {
    #[test]
    fn a_tree_is_packed_as_serde_packs_it_and_comes_back(tree in trees(), is_pretty in any::<bool>()) {
        let text = match is_pretty {
            true => serde_json::to_string_pretty(&tree).unwrap(),
            false => tree.to_string(),
        };
        let bytes = packed(&text);
        prop_assert_eq!(Some(bytes.clone()), packed_by_serde(&text));
        let back: Value = serde_json::from_str(&json_of(&bytes).unwrap()).unwrap();
        prop_assert_eq!(back, tree);
    }

    #[test]
    fn any_bytes_are_read_as_serde_reads_them_or_refused(bytes in byte_strings()) {
        if let Ok(json) = json_of(&bytes) {
            let value: Value = serde_json::from_str(&json).expect("JSON");
            prop_assert!(json.len() <= 6 * bytes.len() + 2);
            let is_exact = !bytes.contains(&0xca);
            if let Ok(by_serde) = rmp_serde::from_slice::<Value>(&bytes) && is_exact {
                prop_assert_eq!(value, by_serde);
            }
        }
    }

    #[test]
    fn any_text_is_packed_into_something(text in "[\\[\\]{}:,\"\\\\ a-fu0-9N.-]{0,40}") {
        packed(&text);
    }
}

#[test]
fn escapes_of_every_kind_are_resolved() {
    let json = r#""\b\f\n\r\t\"\\\/\u0041\uffff""#;
    let text: String = serde_json::from_str(json).unwrap();
    assert_eq!(packed(json), rmp_serde::to_vec(&text).unwrap());
    assert_eq!(json_of(&packed(json)).unwrap(), json!(text).to_string());
}
