use std::collections::BTreeMap;

use serde::Deserialize;

use serde::Serializer;

use super::*;
use crate::daemon::rounded::Rounded;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Sample {
    text: String,
    inner: Inner,
    fractions: Vec<Inner>,
    empty: Vec<u64>,
    numbers: Vec<u64>,
    pair: [i8; 2],
    flag: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    absent: Option<u64>,
    present: Option<u64>,
    kind: Kind,
    letter: char,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    x: Rounded,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    SomeKind,
}

fn sample() -> Sample {
    Sample {
        text: "quote \" slash \\ line\n tab\t bell\u{7} é".to_owned(),
        inner: Inner { x: Rounded(0.25) },
        fractions: [-1.5, 0.0004, 1e12].map(|x| Inner { x: Rounded(x) }).into(),
        empty: Vec::new(),
        numbers: vec![7, i32::MAX as u64, i32::MAX as u64 + 1, i64::MAX as u64],
        pair: [-8, 8],
        flag: true,
        absent: None,
        present: Some(1),
        kind: Kind::SomeKind,
        letter: 'µ',
    }
}

/// The blobmsg table of an answer, read by the crate `ubus`.
fn table(answer: &impl Serialize) -> String {
    ubus::blobmsg::to_json(to_table(answer).unwrap().contents(), true)
}

#[test]
fn values_nest_and_texts_are_escaped() {
    assert_eq!(
        to_json(&sample()).unwrap(),
        "{\"text\":\"quote \\\" slash \\\\ line\\n tab\\t bell\\u0007 é\",\"inner\":{\"x\":0.250},\
         \"fractions\":[{\"x\":-1.500},{\"x\":0.000},{\"x\":1000000000000.000}],\"empty\":[],\
         \"numbers\":[7,2147483647,2147483648,9223372036854775807],\"pair\":[-8,8],\"flag\":true,\"present\":1,\
         \"kind\":\"some-kind\",\"letter\":\"µ\"}"
    );
}

#[test]
fn json_and_blobmsg_have_the_same_contents() {
    assert_eq!(
        table(&sample()),
        "{\"text\":\"quote \\\" slash \\\\ line\\n tab\\t bell\\u0007 é\",\"inner\":{\"x\":0.25},\
         \"fractions\":[{\"x\":-1.5},{\"x\":0},{\"x\":1000000000000}],\"empty\":[],\
         \"numbers\":[7,2147483647,2147483648,9223372036854775807],\"pair\":[-8,8],\"flag\":true,\"present\":1,\
         \"kind\":\"some-kind\",\"letter\":\"µ\"}"
    );
}

#[test]
fn answers_are_read_back() {
    let rounded = Sample { fractions: [-1.5, 0.0, 1e12].map(|x| Inner { x: Rounded(x) }).into(), ..sample() };
    assert_eq!(serde_json::from_str::<Sample>(&to_json(&sample()).unwrap()).unwrap(), rounded);
    assert_eq!(serde_json::from_str::<Sample>(&table(&sample())).unwrap(), rounded);
}

#[test]
fn integers_are_as_narrow_as_blobmsg_permits() {
    use ubus::blobmsg::BlobType;
    #[derive(Serialize)]
    struct Integers {
        small: u64,
        negative: i64,
        large: u64,
        huge: u64,
        fraction: Rounded,
        flag: bool,
    }
    let numbers =
        Integers { small: 5, negative: -5, large: 1 << 31, huge: u64::MAX, fraction: Rounded(2.0), flag: false };
    let encoded = to_table(&numbers).unwrap();
    let kind = |key| encoded.lookup(key).unwrap().ty;
    assert_eq!(["small", "negative"].map(kind), [BlobType::Int32; 2]);
    assert_eq!(["large", "huge"].map(kind), [BlobType::Int64; 2]);
    assert_eq!(["fraction", "flag"].map(kind), [BlobType::Double, BlobType::Int8]);
    assert!(table(&numbers).contains("\"huge\":9223372036854775807"), "the largest that blobmsg has");
}

#[test]
fn numbers_that_are_not_finite_become_null() {
    for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let answer = Inner { x: Rounded(x) };
        assert_eq!((to_json(&answer).unwrap(), table(&answer)), ("{\"x\":null}".into(), "{\"x\":null}".into()));
    }
}

#[test]
fn parts_without_a_form_are_errors() {
    #[derive(Serialize)]
    struct Of<T> {
        list: Vec<T>,
    }
    #[derive(Serialize)]
    enum Shape {
        Newtype(u8),
        Tuple(u8, u8),
        Struct { x: u8 },
    }
    #[derive(Serialize)]
    struct Pair(u8, u8);
    fn error<T: Serialize>(part: T) -> String {
        let error = to_table(&Of { list: vec![part] }).unwrap_err().to_string();
        error.strip_prefix("writing the answer: blobmsg has no form for ").unwrap().to_owned()
    }
    assert_eq!(error(BTreeMap::from([("a", 1)])), "a map");
    assert_eq!(error(Shape::Newtype(1)), "an enum with values");
    assert_eq!(error(Shape::Tuple(1, 2)), "an enum with values");
    assert_eq!(error(Shape::Struct { x: 1 }), "an enum with values");
    assert_eq!(error(Pair(1, 2)), "a tuple struct");
    for top in [to_table(&1), to_table(&"text"), to_table(&[1, 2]), to_table(&None::<u8>), to_table(&f64::NAN)] {
        assert!(top.unwrap_err().to_string().contains("not a struct"));
    }
    assert!(to_json(&BTreeMap::from([("a", 1)])).is_err(), "the same answers are possible in both forms");
}

#[test]
fn names_and_answers_have_a_maximum_length() {
    /// A struct with one member of that name.
    struct OneMember(&'static str);
    impl Serialize for OneMember {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut members = serializer.serialize_struct("OneMember", 1)?;
            serde::ser::SerializeStruct::serialize_field(&mut members, self.0, &1)?;
            serde::ser::SerializeStruct::end(members)
        }
    }
    let named = |length: usize| to_table(&OneMember(String::leak("n".repeat(length))));
    assert_eq!(named(65_535).unwrap().lookup(&"n".repeat(65_535)).unwrap().as_i32(), Some(1));
    assert!(named(65_536).unwrap_err().to_string().contains("a name has 65536 bytes"));
    #[derive(Serialize)]
    struct Long {
        outer: Vec<Vec<String>>,
    }
    let long = |bytes: usize| to_table(&Long { outer: vec![vec!["x".repeat(bytes)]] });
    assert!(long(1_000_000).is_ok());
    assert!(long(1 << 20).unwrap_err().to_string().contains("the maximum of ubus"));
    assert!(to_table(&Long { outer: vec![vec![String::new(); 90_000]] }).is_err(), "many short parts");
}
