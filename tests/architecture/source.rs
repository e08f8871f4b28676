//! Reads as much of Rust as it takes to see what a file imports.

/// Every path that leads through the root of the library, without its root: `crate::a::{b, c::d}` gives `a::b` and
/// `a::c::d`. A chain of `super` that climbs to the root counts too. `module` is where the code stands.
pub(super) fn imports(code: &str, module: &[&str], is_room: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    let climb = "super::".repeat(module.len());
    let roots = ["crate::", "local_vault::", climb.as_str()];
    let mut paths = Vec::new();
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            let rest = &code[at + root.len()..];
            // In a module inside the file, `super` is the file itself; what follows then is no room.
            let is_item = root == climb && !is_room(first_word(rest));
            if !is_word(before) && before != ':' && !is_item {
                tree(rest, &[], &mut paths);
            }
        }
    }
    paths
}

/// Follows a tree of paths, and gives what is left of the text behind it.
fn tree<'a>(code: &'a str, trunk: &[String], paths: &mut Vec<Vec<String>>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            match rest.strip_prefix('}') {
                Some(behind) => return behind,
                None if rest.is_empty() => return rest,
                None => rest = tree(rest, trunk, paths),
            }
        }
    }
    let end = code.find(|c| !is_word(c)).unwrap_or(code.len());
    // A star, or something that is no path: one character is enough to go on behind it.
    let end = if end == 0 { code.chars().next().map_or(0, char::len_utf8) } else { end };
    let path = [trunk, &[code[..end].to_owned()]].concat();
    match code[end..].strip_prefix("::") {
        Some(rest) => tree(rest, &path, paths),
        None => {
            paths.push(path);
            let rest = &code[end..];
            rest.trim_start().strip_prefix("as ").map_or(rest, |name| name.trim_start_matches(is_word))
        }
    }
}

/// Rust text with its comments taken out and its literals emptied.
pub(super) fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            'r' if !code.ends_with(is_word) => raw(rest),
            // A character; a lifetime has no second quote that near.
            '\'' if rest.starts_with("'\\") => 3 + rest[3..].find('\'').unwrap_or(0),
            '\'' if rest.chars().nth(2) == Some('\'') => rest.char_indices().nth(2).map_or(1, |(at, _)| at),
            _ => 0,
        };
        let step = if skipped == 0 { c.len_utf8() } else { skipped };
        if skipped == 0 {
            code.push(c);
        }
        rest = &rest[step..];
    }
    code
}

/// The length of a quoted literal, both quotes included.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a raw literal; 0 where the `r` begins a word.
fn raw(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let Some(inner) = text[1 + hashes..].strip_prefix('"') else { return 0 };
    let close = format!("\"{}", "#".repeat(hashes));
    inner.find(&close).map_or(text.len(), |end| 2 + hashes + end + close.len())
}

/// Whether `word` stands in the code, and not as the end of another word.
pub(super) fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| !code[..at].ends_with(is_word))
}

fn first_word(code: &str) -> &str {
    &code[..code.find(|c| !is_word(c)).unwrap_or(code.len())]
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
