//! The image's build file: what it copies is in the archive, and every stage says how it is used.

use crate::checkout::{files, root};

/// What `cargo xtask package` puts into the archive beside files of the checkout.
const BUILT: [&str; 4] = ["bin/plexus", "bin/plexusd", "bin/plexusctl", "bin/plexus-bench"];

/// Instructions with their arguments; continued lines are joined, comments and empty lines left out.
fn instructions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("deploy/Containerfile")).expect("it is in the checkout");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (instruction, arguments) = line.trim().split_once(' ').expect("an instruction has arguments");
        (instruction.to_owned(), arguments.trim().to_owned())
    };
    joined.lines().filter(|line| !line.trim().is_empty()).map(split).collect()
}

#[test]
fn every_instruction_of_the_image_is_a_known_one() {
    for (instruction, arguments) in instructions() {
        let known = ["FROM", "ARG", "LABEL", "RUN", "COPY", "ENV", "ENTRYPOINT", "CMD"];
        assert!(known.contains(&&*instruction), "{instruction} {arguments}");
        if ["ENTRYPOINT", "CMD"].contains(&&*instruction) {
            let list = arguments.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let list = list
                .unwrap_or_else(|| panic!("{instruction} needs a shell, which is not there: {arguments}"));
            assert!(
                list.split(',').all(|word| word.trim().len() > 2 && word.trim().starts_with('"')),
                "{list}"
            );
        }
    }
}

#[test]
fn what_the_image_copies_is_in_the_archive() {
    let Some(files) = files() else { return };
    let mut copied = 0;
    for (_, arguments) in instructions().iter().filter(|(instruction, _)| instruction == "COPY") {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let (target, sources) = words.split_last().expect("COPY has arguments");
        assert!(target.starts_with('/'), "{arguments}");
        for source in sources {
            copied += 1;
            let is_there = BUILT.contains(source) || files.iter().any(|file| file.path == *source);
            assert!(is_there, "{source} is neither built nor in the checkout");
        }
    }
    assert!(copied > 0);
}

#[test]
fn every_stage_of_the_image_holds_its_programs_and_starts_one() {
    let mut stages: Vec<Vec<(String, String)>> = Vec::new();
    for (instruction, arguments) in instructions() {
        if instruction == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().expect("FROM is the first").push((instruction, arguments));
    }
    for stage in &stages {
        let text = |name: &str| {
            let found = stage.iter().filter(|(instruction, _)| instruction == name);
            found.map(|(_, arguments)| &**arguments).collect::<Vec<_>>().join(" ")
        };
        let (bench, agents) = BUILT.split_last().expect("four programs");
        let is_bench = text("FROM").ends_with("AS bench");
        let (programs, entry) = if is_bench { (&[*bench][..], "plexus-bench") } else { (agents, "plexusd") };
        assert!(programs.iter().all(|program| text("COPY").contains(program)), "{stage:?}");
        assert!(text("ENTRYPOINT").contains(&format!("/usr/bin/{entry}\"")), "{stage:?}");
        assert!(text("LABEL").contains("org.opencontainers.image.licenses"), "{stage:?}");
    }
    assert_eq!(stages.len(), 3);
    // Without --target the last one is built.
    let last = &stages.last().expect("there are three")[0].1;
    assert!(last.ends_with("AS full"), "{last}");
}
