//! Tests of `pickle`: real pickles of every protocol, and damaged ones.

use proptest::prelude::*;

use super::stack::OBJECT_LIMIT;
use super::*;

// Python 3.11: pickle.dumps({"a": [1, -2, 3.5, None, True], b"b": ("x", 2**70, {7})}, protocol)
const PROTOCOL_0: &[u8] = include_bytes!("../testdata/pickle-0.bin");
const PROTOCOL_2: &[u8] = include_bytes!("../testdata/pickle-2.bin");
const PROTOCOL_4: &[u8] = include_bytes!("../testdata/pickle-4.bin");

#[test]
fn every_protocol_reads_as_the_same_data() {
    for bytes in [PROTOCOL_0, PROTOCOL_2, PROTOCOL_4] {
        let pickle = Pickle::parse(bytes).unwrap();
        assert_eq!(pickle.length(), bytes.len());
        let list = pickle.root().entry("a").unwrap().elements().unwrap();
        assert_eq!((list[0].integer(), list[1].integer(), list.len()), (Some(1), Some(-2), 5));
        assert_eq!((list[2].value(), list[3].value()), (&Value::Float(3.5), &Value::None));
        assert_eq!(list[4].integer(), Some(1));
        let tuple = pickle.root().entry("b").unwrap().elements().unwrap();
        assert_eq!(tuple[0].text().unwrap(), "x");
    }
    let pickle = Pickle::parse(PROTOCOL_4).unwrap();
    let tuple = pickle.root().entry("b").unwrap().elements().unwrap();
    assert!(matches!(tuple[1].value(), Value::Large(bytes) if bytes.len() == 9));
    assert_eq!(tuple[2].elements().unwrap()[0].integer(), Some(7));
}

#[test]
fn a_call_is_data_and_nothing_runs() {
    let pickle = Pickle::parse(b"cos\nsystem\n(S'false'\ntR.").unwrap();
    assert_eq!(pickle.root().callable(), Some("os.system"));
    assert_eq!(pickle.root().arguments()[0].text().unwrap(), "false");
}

#[test]
fn an_ordered_dictionary_keeps_its_entries_and_storages_their_identifier() {
    // OrderedDict(), then w = persistent ("storage", 3), then the state that torch sets.
    let bytes = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00X\x01\x00\x00\x00wU\x07storageK\x03\x86Qs}b.";
    let pickle = Pickle::parse(bytes).unwrap();
    assert_eq!(pickle.root().callable(), Some("collections.OrderedDict"));
    let storage = pickle.root().entry("w").unwrap().persistent().unwrap().elements().unwrap();
    assert_eq!(storage[1].integer(), Some(3));
    assert_eq!(pickle.root().state().unwrap().value(), &Value::Dictionary(Vec::new()));
}

#[test]
fn a_list_that_holds_itself_is_read() {
    let pickle = Pickle::parse(b"\x80\x02]q\x00h\x00a.").unwrap();
    assert_eq!(pickle.root().elements().unwrap()[0].id(), pickle.root().id());
}

#[test]
fn lengths_beyond_the_input_and_broken_stacks_are_errors() {
    let broken: [&[u8]; 8] = [
        b"",
        b".",
        b"\x80\x05N.",
        b"T\xff\xff\xff\x7fabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"h\x05.",
        b"NNs.",
        b"(Nd.",
    ];
    for bytes in broken {
        assert!(Pickle::parse(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_objects_of_one_pickle_are_bounded() {
    let bytes = vec![b'N'; OBJECT_LIMIT + 1];
    assert_eq!(Pickle::parse(&bytes).unwrap_err().expected, "at most 4 million objects");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Pickle::parse(&bytes);
    }

    #[test]
    fn no_damage_to_a_real_pickle_makes_it_panic(place in 0..PROTOCOL_2.len(), value in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = PROTOCOL_2.to_vec();
        bytes[place] = value;
        if cut {
            bytes.truncate(place);
        }
        if let Ok(pickle) = Pickle::parse(&bytes) {
            let _ = pickle.root().entry("a").map(|item| item.bytes());
        }
    }
}
