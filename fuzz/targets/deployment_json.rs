//! A deployment as JSON: what is read is written the same, and its check does not panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_api::{
    DeleteFunctionRequest, FunctionDeployment, FunctionNamespace, FunctionStatus,
    ScaleServiceRequest, Secret,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = FunctionDeployment::from_json(bytes) {
        let _ = read.check();
        let written = serde_json::to_vec(&read).expect("a deployment has a JSON form");
        let again = FunctionDeployment::from_json(&written).expect("what was written can be read");
        assert_eq!(again, read);
    }
    let _ = FunctionStatus::from_json(bytes);
    let _ = ScaleServiceRequest::from_json(bytes);
    let _ = DeleteFunctionRequest::from_json(bytes);
    let _ = FunctionNamespace::from_json(bytes);
    let _ = Secret::from_json(bytes);
});
