//! AlertManager's webhook as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_api::AlertWebhook;
use tidegate_core::FunctionId;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(webhook) = AlertWebhook::from_json(bytes) {
        for alert in webhook.alerts {
            let _ = alert.is_firing();
            let _ = FunctionId::parse(&alert.labels.function_name);
        }
    }
});
