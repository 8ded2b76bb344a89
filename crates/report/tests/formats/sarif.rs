use crate::schema::Schema;
use crate::{assert_harmless, base, golden, reports, written};
use heapwise_model::Report;
use heapwise_report::sarif::{self, SarifOptions};
use serde_json::Value;

fn sarif(report: &Report) -> String {
    written(|out| sarif::write(out, report, &SarifOptions { base: base() }))
}

fn without_pages(text: &str) -> String {
    let mut log: Value = serde_json::from_str(text).unwrap();
    for rule in log["runs"][0]["tool"]["driver"]["rules"].as_array_mut().unwrap() {
        rule["help"] = "(the page)".into();
    }
    serde_json::to_string_pretty(&log).unwrap() + "\n"
}

#[test]
fn leaking_program() {
    golden("leaking.sarif", &without_pages(&sarif(&reports::leaking())));
}

#[test]
fn source_findings() {
    let text = sarif(&reports::checked());
    golden("checked.sarif", &without_pages(&text));
    let log: Value = serde_json::from_str(&text).unwrap();
    let location = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "src/na%C3%AFve%20file.c");
    // Byte columns 15 to 25 behind a letter of two bytes.
    assert_eq!(
        (&location["region"]["startColumn"], &location["region"]["endColumn"]),
        (&14.into(), &24.into())
    );
}

#[test]
fn what_github_requires_is_there() {
    for report in [reports::leaking(), reports::checked(), reports::hostile()] {
        let text = sarif(&report);
        assert_harmless(&text);
        let log: Value = serde_json::from_str(&text).unwrap();
        let run = &log["runs"][0];
        for rule in run["tool"]["driver"]["rules"].as_array().unwrap() {
            assert!(rule["shortDescription"]["text"].as_str().unwrap().len() <= 1024);
            assert!(rule["fullDescription"]["text"].as_str().unwrap().len() <= 1024);
            assert!(
                rule["help"]["text"].is_string()
                    && rule["properties"]["tags"].as_array().unwrap().len() <= 10
            );
        }
        for result in run["results"].as_array().unwrap() {
            assert_eq!(result["locations"].as_array().unwrap().len(), 1);
            let region = &result["locations"][0]["physicalLocation"]["region"];
            for number in ["startLine", "startColumn", "endLine", "endColumn"] {
                assert!(region[number].as_u64().unwrap() >= 1);
            }
            assert!(result["partialFingerprints"]["primaryLocationLineHash"].is_string());
        }
    }
}

#[test]
fn no_more_results_than_are_taken() {
    let mut report = reports::checked();
    report.findings = vec![report.findings[0].clone(); 25_001];
    let log: Value = serde_json::from_str(&sarif(&report)).unwrap();
    assert_eq!(log["runs"][0]["results"].as_array().unwrap().len(), 25_000);
}

#[test]
fn the_published_schema_accepts_it() {
    let schema = Schema::sarif();
    for report in [reports::leaking(), reports::checked(), reports::hostile(), Report::default()] {
        let log: Value = serde_json::from_str(&sarif(&report)).unwrap();
        assert_eq!(schema.errors(&log), Vec::<String>::new());
    }
    // And refuses what is none.
    let mut log: Value = serde_json::from_str(&sarif(&reports::checked())).unwrap();
    let run = &mut log["runs"][0];
    run["results"][0]["level"] = "fatal".into();
    run["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0.into();
    run["results"][0]["color"] = "red".into();
    run["tool"]["driver"].as_object_mut().unwrap().remove("name");
    assert_eq!(schema.errors(&log).len(), 4, "{:?}", schema.errors(&log));
}
