//! sigstore's own verifier takes our bundles, by the platform's public key alone, and refuses what was altered.

use std::path::Path;

use serde_json::{Value, json};
use windlass_evidence::{Claim, SigningKey, Statement};
use windlass_kernel::Digest;
use windlass_testkit::{ask_node, node_package, skip};

const SCRIPT: &str = "
const { Verifier, toSignedEntity, toTrustMaterial } = require('@sigstore/verify');
const { bundleFromJSON } = require('@sigstore/bundle');
const { createPublicKey } = require('crypto');
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const { bundle, pem, hint } = JSON.parse(line);
  try {
    const key = { publicKey: createPublicKey(pem), validFor: () => true };
    const trust = { ...toTrustMaterial(root), publicKey: asked => {
      if (asked !== hint) throw new Error('another key is asked for: ' + asked);
      return key;
    } };
    const limits = { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 };
    new Verifier(trust, limits).verify(toSignedEntity(bundleFromJSON(bundle)));
    console.log(JSON.stringify('good'));
  } catch (error) {
    console.log(JSON.stringify(String(error.code ?? error)));
  }
});";

#[test]
fn sigstores_verifier_takes_our_bundles() {
    let package = "@sigstore/verify@2.1.1";
    let folder = match node_package(Path::new(env!("CARGO_TARGET_TMPDIR")), package) {
        Ok(folder) => folder,
        Err(why) => return skip("sigstores_verifier_takes_our_bundles", &why),
    };
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let statement =
        Statement::new("shop", &Digest::sha256(b"image"), Claim::Provenance, json!({"buildDefinition": {}}));
    let bundle = serde_json::to_value(statement.sign(&key).unwrap()).unwrap();
    let mut altered = bundle.clone();
    altered["dsseEnvelope"]["payload"] = json!("e30=");
    let question = |bundle: &Value, of: &SigningKey| json!({"bundle": bundle, "pem": of.public().to_pem(), "hint": key.public().id()});
    let questions = [question(&bundle, &key), question(&bundle, &other), question(&altered, &key)];
    match ask_node(&folder, &["-e", SCRIPT], &questions) {
        Ok(answers) => {
            assert_eq!(answers, [json!("good"), json!("SIGNATURE_ERROR"), json!("SIGNATURE_ERROR")]);
        }
        Err(why) => skip("sigstores_verifier_takes_our_bundles", &why),
    }
}
