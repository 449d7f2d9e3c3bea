// Package signing signs opaque bytes and verifies them: DSSE (https://github.com/secure-systems-lab/dsse) with Ed25519.
//
// What is verified is what is used: Keyring.Verify returns the payload, and nothing may parse one that did not come
// from there. The payload's type is signed with it, so that bytes signed for one use are not taken for another. Key ids
// are hints for people and decide nothing; every key of the ring is tried. Keys rotate by a ring of several: add the
// new key to the ring of every spoke, sign with it, then remove the old one.
package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Why Verify refuses an envelope.
var (
	ErrUntrusted   = errors.New("no valid signature by a trusted key")
	ErrPayloadType = errors.New("payload type is not the expected one")
)

// Envelope is a payload, its type, and signatures over both.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Signature is one signature over the pre-authentication encoding of an envelope.
type Signature struct {
	KeyID string // KeyID of the key, as a hint
	Value []byte // 64 bytes
}

// PAE returns DSSE's pre-authentication encoding: the bytes that are signed.
func PAE(payloadType string, payload []byte) []byte {
	b := make([]byte, 0, len("DSSEv1")+2*(2+20)+len(payloadType)+len(payload)+2)
	b = append(b, "DSSEv1 "...)
	b = strconv.AppendInt(b, int64(len(payloadType)), 10)
	b = append(append(b, ' '), payloadType...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(len(payload)), 10)
	return append(append(b, ' '), payload...)
}

// KeyID returns the SHA-256 of a public key, in hexadecimal digits.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// Signer signs with one private key.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a signer with the given key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// Sign returns an envelope of the payload with one signature. The payload is not copied.
func (s *Signer) Sign(payloadType string, payload []byte) *Envelope {
	return &Envelope{
		PayloadType: payloadType,
		Payload:     payload,
		Signatures:  []Signature{{KeyID: KeyID(s.Public()), Value: ed25519.Sign(s.key, PAE(payloadType, payload))}},
	}
}

// Public returns the key that verifies what s signs.
func (s *Signer) Public() ed25519.PublicKey {
	return ed25519.PublicKey(slices.Clone(s.key[ed25519.PrivateKeySize-ed25519.PublicKeySize:]))
}

// Keyring is the keys that are trusted. One valid signature by one of them is enough.
type Keyring struct{ keys []ed25519.PublicKey }

// NewKeyring returns a ring of at least one key.
func NewKeyring(keys ...ed25519.PublicKey) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("a keyring without keys trusts nothing: give it one")
	}
	ring := &Keyring{}
	for i, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("key %d has %d bytes: an Ed25519 key has %d", i+1, len(key), ed25519.PublicKeySize)
		}
		ring.keys = append(ring.keys, slices.Clone(key))
	}
	return ring, nil
}

// Verify returns the payload of an envelope of the expected type that a key of the ring signed, and otherwise an error
// that wraps ErrPayloadType or ErrUntrusted. Several signatures that claim the same key id are refused, because nobody
// makes them but to confuse.
func (k *Keyring) Verify(e *Envelope, payloadType string) ([]byte, error) {
	if e == nil || len(e.Signatures) == 0 {
		return nil, fmt.Errorf("%w: not signed", ErrUntrusted)
	}
	if e.PayloadType != payloadType {
		return nil, fmt.Errorf("%w: %q, want %q", ErrPayloadType, e.PayloadType, payloadType)
	}
	if len(e.Signatures) > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures: more than %d", ErrUntrusted, len(e.Signatures), MaxSignatures)
	}
	claimed := map[string]bool{}
	for _, s := range e.Signatures {
		if claimed[s.KeyID] {
			return nil, fmt.Errorf("%w: two signatures with the key id %q", ErrUntrusted, s.KeyID)
		}
		claimed[s.KeyID] = true
	}
	message := PAE(payloadType, e.Payload)
	for _, s := range e.Signatures {
		if k.verifies(message, s.Value) {
			return e.Payload, nil
		}
	}
	return nil, fmt.Errorf("%w: signed by %s, trusted are %s", ErrUntrusted, claimedIDs(e.Signatures), k)
}

// verifies reports whether a key of the ring made a signature.
func (k *Keyring) verifies(message, signature []byte) bool {
	return slices.ContainsFunc(k.keys, func(key ed25519.PublicKey) bool { return ed25519.Verify(key, message, signature) })
}

// String returns the short ids of the keys.
func (k *Keyring) String() string {
	var ids []string
	for _, key := range k.keys {
		ids = append(ids, short(KeyID(key)))
	}
	return fmt.Sprint(ids)
}

func claimedIDs(signatures []Signature) string {
	var ids []string
	for _, s := range signatures {
		ids = append(ids, short(s.KeyID))
	}
	return fmt.Sprintf("%q", ids)
}

// short is enough of a key id for people.
func short(id string) string { return id[:min(len(id), 12)] }
