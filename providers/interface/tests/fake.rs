//! The fake keeps every promise that real backends keep, with and without its optional capabilities.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::FunctionId;
use tidegate_provider::conformance::Harness;
use tidegate_provider::fake::{self, FakeProvider};
use tidegate_provider::{Capabilities, Deployment, Provider};

struct FakeHarness(FakeProvider);

fn deployment(name: &str, process: &str) -> Deployment {
    Deployment {
        function: FunctionId::parse(name).expect("a good name"),
        image: "none".to_owned(),
        process: process.to_owned(),
        env: [].into(),
        labels: [].into(),
        annotations: [].into(),
        secrets: Vec::new(),
        constraints: Vec::new(),
        limits: None,
        requests: None,
        read_only_root: false,
    }
}

#[async_trait]
impl Harness for FakeHarness {
    async fn open(&mut self) -> Arc<dyn Provider> {
        Arc::new(self.0.clone())
    }

    async fn crash(&mut self) {
        self.0 = self.0.crash();
    }

    fn echo(&self, name: &str) -> Deployment {
        deployment(name, fake::ECHO)
    }

    fn never_ready(&self, name: &str) -> Deployment {
        deployment(name, fake::NEVER_READY)
    }

    fn crashing(&self, name: &str) -> Deployment {
        deployment(name, fake::CRASHES)
    }

    fn tells_secret(&self, name: &str, secret: &str) -> Deployment {
        let mut deployment = deployment(name, &fake::tells_secret(secret));
        deployment.secrets.push(secret.to_owned());
        deployment
    }

    fn impossible(&self, name: &str) -> Option<Deployment> {
        Some(deployment(name, ""))
    }
}

mod with_all_capabilities {
    use super::*;
    tidegate_provider::conformance!(FakeHarness(FakeProvider::default()));
}

mod without_any {
    use super::*;
    tidegate_provider::conformance!(FakeHarness(
        FakeProvider::default().with(Capabilities::default())
    ));
}

/// A case that is written but not listed would never run.
#[test]
fn every_case_is_listed() {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let listed =
        std::fs::read_to_string(format!("{source}/conformance.rs")).expect("a source file");
    for file in std::fs::read_dir(format!("{source}/conformance")).expect("a folder") {
        let path = file.expect("an entry").path();
        let theme = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a source file");
        for line in text.lines().filter(|line| line.contains("(stage: &mut Stage)")) {
            let case = line.trim_start_matches("pub async fn ").split('(').next().expect("a name");
            assert!(
                listed.contains(&format!("{theme}::{case}\n")),
                "{theme}::{case} is not listed"
            );
        }
    }
}
