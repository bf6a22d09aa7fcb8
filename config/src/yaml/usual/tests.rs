#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use super::super::parse_any;
use super::read;

/// Texts of every form that is known here, and of some that are not.
const TEXTS: [&str; 12] = [
    "kind: gateway\nroutes:\n  - {name: a-1, match: {path: \"/t/{id}\"}, service: s}\n  - {name: b, list: [a, 'b', 1.5]}\n",
    "a:\n- x\n- y: 1\n  z: -2\nb: # why\n  c: /path/*  # because\n  d: http://host:80/x#y?a=b,c\n\n# end\n",
    "- - a\n  - b\n- key:\n    deep:\n      deeper: true\n  next: ~\n",
    "{\"kind\": \"gateway\", \"routes\": [{\"name\": \"a\", \"n\": 1, \"on\": [true, false, null]}, {}], \"e\": []}",
    "{\n  \"kind\":\"gateway\",\n  \"list\":[\n    1,\n    2\n  ]\n}\n",
    "  a: b c  d\n  e: 'x # y'\n  \"f g\": \"{}\"\n  h: [x y, z]\n",
    "a: [\nx,\ny\n]\nb: {\nc: d\n}\n",
    "text: |\n  block\n  of text\nanchor: &a {x: 1}\nalias: *a\n",
    "a: one\n  two\nb: \"esc\\n\"\nc: 'it''s'\nd: !tag x\n? e\n: f\n",
    "---\na: 1\n...\n---\nb: 2\n",
    "a: \u{e9}\t\u{2013}\nb:\nc: null\nd:   \n",
    "a: b: c\n- x\n  y\n }\n[a, b: c, {d}, e,]\n\"a\":b\n",
];

#[test]
fn what_is_read_is_what_the_parser_reads() {
    for (index, text) in TEXTS.iter().enumerate().take(7) {
        let tree = read(text).unwrap_or_else(|| panic!("the usual forms, and text {index} is not read"));
        assert_eq!(tree, parse_any(text).unwrap_or_else(|spotted| panic!("{spotted:?}")), "{text}");
    }
}

#[test]
fn shipped_files_are_read_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let texts = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    let read = texts.filter(|path| agree(&fs::read_to_string(path).unwrap())).count();
    assert!(read > 2, "hardly any file is in the usual forms");
}

/// Each text with pieces of others put in, pieces left out and lines moved: mostly faulty, sometimes not.
#[test]
fn what_is_not_sound_is_left_to_the_parser() {
    let mut chance = Chance(1);
    let mut read = 0;
    for _ in 0..20_000 {
        let mut text = TEXTS[chance.below(TEXTS.len())].to_owned();
        for _ in 0..=chance.below(3) {
            change(&mut text, &mut chance);
        }
        read += usize::from(agree(&text));
    }
    assert!(read > 700, "only {read} of the texts were read at all");
}

#[test]
fn too_much_is_left_to_the_parser() {
    for depth in [64, 65] {
        let text = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(read(&text).is_some(), depth == 64);
        let text: String = (0..depth).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
        let text = format!("{text}{}b\n", " ".repeat(depth));
        assert_eq!((read(&text).is_some(), parse_any(&text).is_ok()), (depth == 64, depth == 64));
    }
    let long = format!("{}: 1\n", "k".repeat(2_000));
    assert!(read(&long).is_none());
}

/// Whether it is read here, which must be as the parser reads it.
fn agree(text: &str) -> bool {
    let Some(tree) = read(text) else { return false };
    let parsed = parse_any(text).unwrap_or_else(|spotted| panic!("{spotted:?}\n{text:?}"));
    assert_eq!(tree, parsed, "{text:?}");
    true
}

fn change(text: &mut String, chance: &mut Chance) {
    const PIECES: [&str; 24] = [
        " ", "  ", "\n", "\n ", "\n  ", ": ", ":", "- ", "-", "#", " #", "{", "}", "[", "]", ",", ", ", "\"",
        "'", "a", "a: b", "---", "0", "\\",
    ];
    let at = |text: &str, chance: &mut Chance| text.floor_char_boundary(chance.below(text.len() + 1));
    let from = at(text, chance);
    match chance.below(4) {
        0 => {
            let to = text.floor_char_boundary((from + 1 + chance.below(8)).min(text.len()));
            text.replace_range(from..to.max(from), "");
        }
        1 => {
            let other = TEXTS[chance.below(7)];
            let begin = at(other, chance);
            let end = other.floor_char_boundary((begin + chance.below(40)).min(other.len()));
            text.insert_str(from, &other[begin..end.max(begin)]);
        }
        _ => text.insert_str(from, PIECES[chance.below(PIECES.len())]),
    }
}

/// Numbers that look like chance and are the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}
