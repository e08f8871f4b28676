//! What a relay tells of its token, and that the alarms are about things that are told.

use std::collections::BTreeSet;
use std::fs;

use local_vault::witness::Metrics;
use prometheus::{Registry, TextEncoder};

use super::exposition::Exposition;
use super::place::Place;
use super::sandbox::Sandbox;

fn measured() -> (Place, Sandbox) {
    let (place, sandbox) = Place::with_sandbox("wrapping");
    place.reconfigure("[custody]\n", "[metrics]\nfile = \"local-vault.prom\"\n\n[custody]\n");
    place.attest("a");
    (place, sandbox)
}

fn told(place: &Place) -> Exposition {
    Exposition::parse(&fs::read_to_string(place.path("local-vault.prom")).unwrap())
}

/// The four states, in order.
fn pin(holds: &str) -> Vec<(&'static str, f64)> {
    ["final-try", "fine", "locked", "low"].map(|state| (state, f64::from(state == holds))).to_vec()
}

#[test]
fn the_tries_of_a_pin_are_told_without_using_one() {
    let (place, _sandbox) = measured();
    place.ok(&["relay", "drain"]);
    assert_eq!(told(&place).states("local_vault_custody_pin"), pin("fine"));
    assert_eq!(told(&place).value("local_vault_custody_up", &[]), 1.0);
    let logins = place.calls("C_Login");
    for (flags, state) in [("0x20000", "final-try"), ("0x40000", "locked")] {
        place.plan(&format!("C_GetTokenInfo FLAGS {flags}"));
        assert_eq!(place.run(&["relay", "drain"]).code, Some(77), "{state}");
        assert_eq!(told(&place).states("local_vault_custody_pin"), pin(state));
    }
    assert_eq!(place.calls("C_Login"), logins);
}

#[test]
fn a_token_that_is_away_is_told_of_and_its_pin_is_not() {
    let (place, _sandbox) = measured();
    place.softhsm.take_away();
    assert_eq!(place.run(&["relay", "drain"]).code, Some(69));
    assert_eq!(told(&place).value("local_vault_custody_up", &[]), 0.0);
    assert!(!told(&place).families.contains_key("local_vault_custody_pin"));

    let once = ["drain-loop", "--max-iterations", "1"];
    place.ok(&once);
    assert_eq!(told(&place).value("local_vault_custody_up", &[]), 0.0);
    place.softhsm.put_back();
    place.ok(&once);
    assert_eq!(told(&place).value("local_vault_custody_up", &[]), 1.0);
    assert_eq!(told(&place).states("local_vault_custody_pin"), pin("fine"));
}

#[test]
fn every_alarm_is_about_what_is_told() {
    let (place, _sandbox) = measured();
    place.ok(&["relay", "drain"]);
    let told = Exposition::parse(&(fs::read_to_string(place.path("local-vault.prom")).unwrap() + &told_of_a_witness()));
    let names: BTreeSet<&str> = told.names().into_iter().collect();
    let rules = rules();
    let mut used = BTreeSet::new();
    for (at, _) in rules.match_indices("local_vault_") {
        let rest = &rules[at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
        let (name, rest) = rest.split_at(end);
        assert!(names.contains(name), "docs/alerts.md has a rule about {name}, and nothing tells it: {names:?}");
        used.insert(name);
        let Some((labels, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
        for label in labels.split(',') {
            let (label, value) = label.split_once("=\"").unwrap();
            assert!(told.has(name, label, value.trim_end_matches('"')), "{name} has no {label} {value}");
        }
    }
    assert!(used.len() >= 8, "the rules were not read: {used:?}");
}

#[test]
fn every_alarm_has_a_paragraph_and_says_what_to_do() {
    let alarms: Vec<String> =
        rules().lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    let text = alerts();
    let headings: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(alarms.iter().map(String::as_str).collect::<BTreeSet<_>>(), headings);
    assert_eq!(alarms.len(), headings.len(), "an alarm twice");
    for alarm in &alarms {
        let (_, paragraph) = text.split_once(&format!("### {alarm}\n")).unwrap();
        let paragraph = paragraph.split("\n#").next().unwrap();
        for part in ["- **First look**: ", "- **Do**", "- **Do not** "] {
            assert_eq!(paragraph.matches(part).count(), 1, "{alarm}: {part}");
        }
    }
}

/// What a service tells that witnesses.
fn told_of_a_witness() -> String {
    let registry = Registry::new();
    Metrics::default().register(&registry).unwrap();
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

fn alerts() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.md")).unwrap()
}

/// The one block of YAML.
fn rules() -> String {
    let text = alerts();
    let (_, rules) = text.split_once("```yaml\n").unwrap();
    rules.split_once("```").unwrap().0.to_owned()
}
