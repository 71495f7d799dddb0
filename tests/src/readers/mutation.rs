//! Deterministic damage, for the ordinary tests: few changes of an input each, at places and with values where readers go wrong.

use obverse::tensor::random::Stream;

/// Numbers at the edges of their types, little endian; a part of the bytes, or their reverse, serves shorter and big-endian fields.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Numbers and signs at the edges of texts.
const WORDS: [&str; 12] =
    ["0", "-1", "18446744073709551615", "9223372036854775808", "1e309", "nan", "\"", "(", "[", "{", "\n", "\u{0}"];

/// An input with one to four changes, the same for a number whenever it is asked.
pub fn mutated(bytes: &[u8], number: u64) -> Vec<u8> {
    let numbers = Stream::new(number, "mutation", 0).bits(0..17);
    let mut result = bytes.to_vec();
    for change in numbers[1..].chunks_exact(4).take(1 + numbers[0] as usize % 4) {
        let &[kind, place, length, value] = change else { break };
        apply(&mut result, kind, place as usize, length as usize, value);
    }
    result
}

fn apply(bytes: &mut Vec<u8>, kind: u64, place: usize, length: usize, value: u64) {
    let place = place % (bytes.len() + 1);
    let end = place + (1 + length % 16).min(bytes.len() - place);
    let edge = EDGES[value as usize % EDGES.len()];
    match kind % 9 {
        0 => bytes.truncate(place),
        1 => drop(bytes.drain(place..end)),
        2 => drop(bytes.splice(place..place, bytes[place..end].to_vec())),
        3 => drop(bytes.splice(place..place, WORDS[value as usize % WORDS.len()].bytes())),
        4 => drop(bytes.splice(place..end, WORDS[value as usize % WORDS.len()].bytes())),
        5 => overwrite(bytes, place, &edge.to_le_bytes()[..1 << (length % 4)]),
        6 => overwrite(bytes, place, &edge.to_be_bytes()[8 - (1 << (length % 4))..]),
        7 => overwrite(bytes, place, &value.to_le_bytes()[..1]),
        _ => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (value % 8);
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], place: usize, with: &[u8]) {
    bytes[place..].iter_mut().zip(with).for_each(|(byte, &with)| *byte = with);
}
