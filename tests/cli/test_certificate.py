"""--cert and --key that cannot be used: the message says which of the two is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme

from penstock.cli.certificate import read_tls
from penstock.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of all kinds that are given for a certificate or a key."""
    made = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    one, other = authority.issue_cert("one.example"), authority.issue_cert("other.example")
    chain = b"".join(each.bytes() for each in one.cert_chain_pems)
    key = one.private_key_pem.bytes()
    files = {
        "cert": chain,
        "key": key,
        "both": key + chain,
        "other_key": other.private_key_pem.bytes(),
        "other_both": other.private_key_pem.bytes() + chain,
        "text": b"no PEM\n",
        "der": b"\x30\x82\x01\x00\xff",
        "empty": b"",
        "damaged_cert": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "damaged_key": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    }
    for name, data in files.items():
        (made / name).write_bytes(data)
    return made


@pytest.mark.parametrize(
    ("cert", "key", "says"),
    [
        ("text", "key", "--cert {dir}/text: there is no certificate in PEM"),
        ("der", None, "--cert {dir}/der: there is no certificate in PEM"),
        ("empty", None, "--cert {dir}/empty: there is no certificate in PEM"),
        ("key", "cert", "--cert {dir}/key: there is no certificate in PEM"),
        ("cert", None, "--key is missing: {dir}/cert holds a certificate and no key"),
        ("cert", "text", "--key {dir}/text: there is no private key in PEM"),
        ("cert", "cert", "--key {dir}/cert: there is no private key in PEM"),
        (
            "cert",
            "other_key",
            "--key {dir}/other_key: the private key in it is not that of the certificate in {dir}/cert",
        ),
        ("other_both", None, "--cert {dir}/other_both: the private key in it is not that of"),
        ("damaged_cert", "key", "--cert {dir}/damaged_cert: the certificate in it is damaged"),
        ("cert", "damaged_key", "--key {dir}/damaged_key: the private key in it cannot be used"),
        ("none", "key", "--cert {dir}/none: there is no such file"),
        ("cert", "none", "--key {dir}/none: there is no such file"),
        (None, "key", "--key needs --cert"),
    ],
)
def test_the_one_that_is_wrong_is_named(folder: Path, cert: str | None, key: str | None, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says.format(dir=folder))):
        read_tls(None if cert is None else folder / cert, None if key is None else folder / key)


@pytest.mark.parametrize(("cert", "key"), [("cert", "key"), ("both", None), ("both", "both"), ("cert", "both")])
def test_what_fits_is_taken(folder: Path, cert: str, key: str | None) -> None:
    assert read_tls(folder / cert, None if key is None else folder / key) is not None
    assert read_tls(None, None) is None
