#!/usr/bin/env python3
"""Opens sealed_v1.json and sealed_record_v1.json from the documented wire format alone.

Shares no code with the library: AES and HMAC come from the `cryptography` package and hashlib.
Exit code 0 when every sealed text opens to the plaintext beside it, 1 otherwise.
"""
import base64
import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def unbase64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def hkdf(key, info):
    """HKDF-SHA256 without salt, 32 bytes (RFC 5869)."""
    pseudorandom = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(pseudorandom, info.encode() + b"\x01", hashlib.sha256).digest()


def aes(key, block):
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block) + encryptor.finalize()


def xor(left, right):
    return bytes(a ^ b for a, b in zip(left, right))


def xaes_open(key, nonce, ciphertext, associated_data):
    """XAES-256-GCM as C2SP describes it: a key for this nonce by CMAC, then AES-256-GCM."""
    left = int.from_bytes(aes(key, bytes(16)), "big")
    subkey = ((left << 1) ^ (0b10000111 if left >> 127 else 0)) & ((1 << 128) - 1)
    subkey = subkey.to_bytes(16, "big")
    derived = b"".join(aes(key, xor(bytes([0, n, ord("X"), 0]) + nonce[:12], subkey)) for n in (1, 2))
    return AESGCM(derived).decrypt(nonce[12:], ciphertext, associated_data)


def open_golden(name):
    golden = json.loads(pathlib.Path(__file__).with_name(name).read_text())
    app_key = base64.b64decode(golden["app_key"].removeprefix("base64:"))
    raw = unbase64(golden["sealed"])
    version, key_id, nonce, body = raw[0], raw[1:5], raw[5:29], raw[29:]
    assert version == 1, f"version {version}"
    assert key_id == hkdf(app_key, "cloakroom v1 key id")[:4], "the key id is another key's"
    is_cookie = "cookie" in golden
    place = golden["cookie"].encode() if is_cookie else unbase64(golden["record_key"])
    place = golden["purpose"].encode() + b"\0" + place
    key = hkdf(app_key, "cloakroom v1 seal")
    plaintext = xaes_open(key, nonce, body, bytes([version]) + key_id + place)
    assert plaintext.decode() == golden["plaintext"], "another plaintext"
    print(f"opened {len(golden['sealed'])} characters: {plaintext.decode()}")


def main():
    open_golden("sealed_v1.json")
    open_golden("sealed_record_v1.json")


if __name__ == "__main__":
    try:
        main()
    except Exception as problem:
        print(f"could not open the golden vector: {problem!r}", file=sys.stderr)
        sys.exit(1)
