use super::{read, span};
use crate::config::{Listen, TlsConfig};
use crate::error::FailureKind;
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use tempfile::TempDir;

struct Files {
    directory: TempDir,
    tls: TlsConfig,
}

fn files(certificate: &str, key: &str) -> Files {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let listen =
        Listen { addresses: Vec::new(), flag: "--tls-listen", by_default: false, alternate: Vec::new() };
    let tls = TlsConfig { listen, certificate: path("certificate.pem"), key: path("key.pem") };
    fs::write(&tls.certificate, certificate).unwrap();
    fs::write(&tls.key, key).unwrap();
    Files { directory, tls }
}

fn pair() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["stun.example.net".to_owned()]).unwrap();
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}

/// The failure for these contents, without the directory's name.
fn refused(certificate: &str, key: &str) -> String {
    let files = files(certificate, key);
    let failure = read(&files.tls).expect_err("not to be served with");
    assert_eq!(failure.kind(), FailureKind::Usage, "{failure}");
    failure.to_string().replace(files.directory.path().to_str().unwrap(), "D")
}

#[test]
fn a_failure_names_the_flag_and_the_file() {
    let (certificate, key) = pair();
    let (other, _) = pair();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let cut = &certificate[..certificate.len() / 2];
    for (certificate, key, expected) in [
        ("", &key[..], "--tls-certificate D/certificate.pem is empty"),
        (&certificate, "", "--tls-key D/key.pem is empty"),
        ("words", &key, "--tls-certificate D/certificate.pem holds no certificate"),
        (&certificate, "words", "--tls-key D/key.pem holds no private key"),
        (&key, &key, "--tls-certificate D/certificate.pem holds no certificate"),
        (&certificate, &certificate, "--tls-key D/key.pem holds no private key"),
        (&certificate, encrypted, "the key in D/key.pem (--tls-key) is encrypted; `openssl pkey"),
        (cut, &key, "--tls-certificate D/certificate.pem is not a valid PEM file: "),
        (
            &other,
            &key,
            "the key in D/key.pem (--tls-key) does not belong to the certificate in D/certificate.pem",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &key,
            "cannot serve with D/certificate.pem (--tls-certificate) and D/key.pem (--tls-key): ",
        ),
    ] {
        let failure = refused(certificate, key);
        assert!(failure.starts_with(expected), "{failure}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let (certificate, key) = pair();
    let files = files(&certificate, &key);
    fs::remove_file(&files.tls.key).unwrap();
    let failure = read(&files.tls).err().unwrap();
    assert_eq!(failure.errno(), Some(libc::ENOENT));
    assert!(failure.to_string().starts_with("cannot read --tls-key "), "{failure}");
}

#[test]
fn every_usual_kind_of_key_is_accepted() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let files = files(&certificate.pem(), &key.serialize_pem());
        assert!(read(&files.tls).is_ok(), "{algorithm:?}");
    }
}

/// Wrong dates are a warning, no failure: an expired certificate still serves clients that do not check it.
#[test]
fn a_certificate_with_wrong_dates_is_reported_and_served() {
    let key = KeyPair::generate().unwrap();
    for (not_before, not_after, expected) in
        [(2000, 2001, Some("expired ")), (2000, 4000, None), (3999, 4000, Some("is not valid before "))]
    {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(not_before, 1, 1);
        params.not_after = rcgen::date_time_ymd(not_after, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let found = super::wrong_dates(certificate.der());
        assert_eq!(found.is_some(), expected.is_some(), "{found:?}");
        assert!(found.iter().all(|found| found.starts_with(expected.unwrap())), "{found:?}");
        assert!(read(&files(&certificate.pem(), &key.serialize_pem()).tls).is_ok());
    }
    assert_eq!([span(600), span(7_200), span(172_800)], ["10 minutes", "2 hours", "2 days"]);
}
