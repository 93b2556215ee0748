//! sigstore's own verifier and OpenSSL take what we sign, by the platform's public key alone, and refuse what was altered.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_evidence::{Claim, SigningKey, Statement, cosign_signature, cosign_statement};
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

/// What OpenSSL says of a signature; why it was not asked, otherwise.
fn openssl(pem: &str, signed: &[u8], signature: &[u8]) -> Result<bool, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.display().to_string()
    };
    let (key, signature) = (file("key.pem", pem.as_bytes()), file("signature", signature));
    let signed = file("signed", signed);
    let arguments = ["dgst", "-sha256", "-verify", &key, "-signature", &signature, &signed];
    let asked = std::process::Command::new("openssl").args(arguments).output();
    let said = asked.map_err(|e| format!("openssl cannot be started: {e}"))?;
    Ok(said.status.success() && said.stdout.starts_with(b"Verified OK"))
}

/// By the specifications alone: the encoding before signing of DSSE, and cosign's payload as it lies there.
#[test]
fn openssl_verifies_statements_and_cosigns_signatures() {
    const NAME: &str = "openssl_verifies_statements_and_cosigns_signatures";
    let key = SigningKey::generate().unwrap();
    let pem = key.public().to_pem();
    let digest = Digest::sha256(b"image");
    let bundle = Statement::new("shop", &digest, Claim::Signature, json!({})).sign(&key).unwrap();
    let envelope = &bundle.dsse_envelope;
    let layer = cosign_statement(envelope, Claim::Signature.uri());
    let read: Value = serde_json::from_slice(&layer.bytes).unwrap();
    let text = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let payload = text(&read["payload"]);
    let kind = read["payloadType"].as_str().unwrap();
    let head = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len());
    let signed = [head.as_bytes(), &payload].concat();
    match openssl(&pem, &signed, &text(&read["signatures"][0]["sig"])) {
        Ok(good) => assert!(good),
        Err(why) => return skip(NAME, &why),
    }
    // A name that a verifier does not have for the key would make it pass over the signature.
    assert_eq!(read["signatures"], json!([{ "keyid": "", "sig": read["signatures"][0]["sig"] }]));
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicateType"], "https://sigstore.dev/cosign/sign/v1");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], digest.hex());

    let listed = cosign_signature("127.0.0.1:80/shop", &digest, &key).unwrap();
    let signature = text(&listed.annotations["dev.cosignproject.cosign/signature"]);
    assert_eq!(openssl(&pem, &listed.bytes, &signature), Ok(true));
    let says: Value = serde_json::from_slice(&listed.bytes).unwrap();
    assert_eq!(says["critical"]["type"], "cosign container image signature");
    assert_eq!(says["critical"]["image"]["docker-manifest-digest"], digest.to_string());
    assert_eq!(says["critical"]["identity"]["docker-reference"], "127.0.0.1:80/shop");
    let altered = String::from_utf8(listed.bytes).unwrap().replace("shop", "shoq");
    assert_eq!(openssl(&pem, altered.as_bytes(), &signature), Ok(false));
    let other = SigningKey::generate().unwrap().public().to_pem();
    assert_eq!(openssl(&other, &signed, &signature), Ok(false));
}
