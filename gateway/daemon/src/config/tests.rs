//! What a clumsy hand gets told.

use super::*;

const SITE: &str =
    "[site]\norganization = \"12330100470000000A\"\nname = \"H\"\nregion = \"330106\"\ndevice = \"d-1\"\n";

fn faults(text: &str) -> String {
    Config::parse(text, "gateway.toml").unwrap_err().to_string()
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_the_nearest_one() {
    let text = format!("{SITE}[[feed]]\nname = \"his\"\nkind = \"mllp\"\nlissten = \"0.0.0.0:2575\"\n");
    assert_eq!(
        faults(&text),
        "gateway.toml:6:1: feed needs listen = \"...\"\ngateway.toml:9:1: feed has no key lissten; did you mean listen?"
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "[site]\norganization = \"12330100470000000B\"\nname = 5\nregion = \"33\"\ndevice = \"a/b\"\ntime_zone = \"Mars\"\n";
    let told = faults(text);
    for place in [
        "2:16: site.organization",
        "3:8: site.name",
        "4:10: site.region",
        "5:10: site.device",
        "6:13: site.time_zone",
    ] {
        assert!(told.contains(&format!("gateway.toml:{place}")), "{place} in\n{told}");
    }
}

#[test]
fn parts_of_later_versions_say_so() {
    for (section, place) in [
        ("[management]\nbroker = \"mqtts://x\"\n", "[management]: not in this version"),
        ("[[feed]]\nname = \"p\"\nkind = \"dicom\"\n", "feed.kind dicom: not in this version"),
        (
            "[[destination]]\nname = \"r\"\nprofile = \"fhir-r4\"\nurl = \"https://x\"\noauth = { client_id = \"a\" }\n",
            "destination.oauth: not in this version",
        ),
        ("[buffer]\nrecovery_key = \"abc\"\n", "buffer.recovery_key: not in this version"),
    ] {
        let told = faults(&format!("{SITE}{section}"));
        assert!(told.contains(place), "{told}");
    }
}

#[test]
fn what_is_no_toml_and_what_is_no_site_is_said() {
    assert!(faults("[site\n").starts_with("gateway.toml:1:"));
    assert!(faults("").contains("[site] is missing"));
}

#[test]
fn names_and_addresses_stand_once() {
    let feed = "[[feed]]\nname = \"a\"\nkind = \"mllp\"\nlisten = \"127.0.0.1:1\"\n";
    let told = faults(&format!("{SITE}{feed}{feed}"));
    assert!(
        told.contains("two feeds are called a") && told.contains("two feeds listen on 127.0.0.1:1"),
        "{told}"
    );
}

#[test]
fn the_annotated_default_holds_accepted_keys_only_and_the_embedded_one_listens_on_loopback() {
    let text = include_str!("../../../../config/gateway.toml");
    let config = Config::parse(text, "config/gateway.toml").unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.feeds.len(), config.destinations.len()), (2, 2));
    assert!(config.feeds.iter().all(|feed| feed.mode == Mode::Observe));
    let default = Buffer::default();
    assert_eq!(config.buffer, default);
    let embedded = Config::embedded();
    assert!(embedded.feeds.iter().all(|feed| feed.listen.ip().is_loopback() && feed.mode == Mode::Observe));
}

#[test]
fn a_feed_without_networks_lets_in_this_machine_alone() {
    let config = Config::embedded();
    assert!(config.feeds[0].allow.iter().any(|net| net.contains([127, 0, 0, 1].into())));
    assert!(!config.feeds[0].allow.iter().any(|net| net.contains([10, 0, 0, 1].into())));
}

#[test]
fn a_receiver_in_the_house_is_told_what_it_is_sent_and_how() {
    let feed = "[[feed]]\nname = \"lis\"\nkind = \"mllp\"\nlisten = \"127.0.0.1:1\"\n";
    let with = |lines: &str| {
        let text = format!("{SITE}{feed}[[destination]]\nname = \"ward\"\nprofile = \"hl7v2\"\n{lines}");
        Config::parse(&text, "gateway.toml").map_err(|faults| faults.to_string())
    };
    let config = with(
        "url = \"mllp://10.1.5.5:2576\"\ncontent = \"captures\"\nfeeds = [\"lis\"]\ncharset = \"gb18030\"\nbatch = 20\n",
    );
    let destination = config.unwrap().destinations.remove(0);
    let Profile::Hl7v2(hl7) = destination.profile else { panic!("{:?}", destination.profile) };
    assert_eq!((hl7.content, hl7.charset, hl7.batch), (Content::Captures, Some(Charset::Gb18030), 20));
    assert_eq!((destination.max_in_flight, destination.records.len()), (1, 0));
    for (lines, says) in [
        ("url = \"https://x\"\n", "mllp://HOST:PORT"),
        ("url = \"mllp://h:1\"\nfeeds = [\"pacs\"]\n", "which is no feed"),
        ("url = \"mllp://h:1\"\ncharset = \"klingon\"\n", "no such character set"),
        ("url = \"mllp://h:1\"\ncontent = \"captures\"\nack = \"enhanced\"\n", "MSH-15"),
        ("url = \"mllp://h:1\"\ncontent = \"captures\"\nrecords = [\"person\"]\n", "whole messages"),
    ] {
        let told = with(lines).unwrap_err();
        assert!(told.contains(says), "{told}");
    }
}
