//! Where there is algebra: canonical JSON.

use local_vault::protocol::json::{Float, Object, Value, parse};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

proptest! {
    #[test]
    fn the_canonical_form_of_a_canonical_form_is_itself(object in object()) {
        let once = object.to_canonical();
        let read = parse(&once).unwrap();
        prop_assert_eq!(&read, &object);
        prop_assert_eq!(read.to_canonical(), once);
    }

    #[test]
    fn a_printed_line_reads_back_as_the_same_object(object in object()) {
        prop_assert_eq!(parse(object.to_python_line().as_bytes()).unwrap(), object);
    }

    #[test]
    fn a_float_reads_back_as_the_same_bits(bits in any::<u64>()) {
        if let Some(float) = Float::new(f64::from_bits(bits)) {
            let written = Object::new().with("n", Value::Float(float)).to_canonical();
            let Some(Value::Float(read)) = parse(&written).unwrap().remove("n") else { panic!("{written:?}") };
            prop_assert_eq!(read.get().to_bits(), bits);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_json_makes_the_reader_panic(text in r#"\{("[a\\u0d8"é]{0,6}"|[\[\]{}:,\-+.eE0-9ntf ]){0,40}"#) {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn what_is_accepted_has_one_canonical_form(text in r#"\{"a":(-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?|"(\\u00[0-9a-f]{2}|[a-z])*")\}"#) {
        if let Ok(object) = parse(text.as_bytes()) {
            let canonical = object.to_canonical();
            prop_assert_eq!(parse(&canonical).unwrap().to_canonical(), canonical);
        }
    }
}

fn object() -> impl Strategy<Value = Object> {
    members(value().boxed())
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<Option<bool>>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", Float::new).prop_map(Value::Float),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            members(inner).prop_map(Value::Object),
        ]
    })
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Object> {
    prop::collection::vec((any::<String>(), value), 0..8)
        .prop_map(|members| members.into_iter().fold(Object::new(), |object, (key, value)| object.with(&key, value)))
}
