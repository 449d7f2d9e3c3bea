// Package signing signs and verifies bytes: DSSE (https://github.com/secure-systems-lab/dsse) with Ed25519.
//
// Keyring.Verify returns the verified payload; no other payload may be parsed. The signature covers the type of the
// payload, so that bytes that were signed for one use are not accepted for another. Key ids are hints for people:
// Verify tries every key of the ring. A Statement rotates keys: the key that signs names the next one, and whoever
// trusts the first may follow (Trust).
package signing

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
)

// The errors of Verify.
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

// Signature is one signature over the PAE of an envelope.
type Signature struct {
	KeyID string // KeyID of the key; a hint
	Value []byte // 64 bytes
}

// PAE returns DSSE's pre-authentication encoding: the bytes that are signed.
func PAE(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// KeyID returns the SHA-256 of a public key as 64 hexadecimal digits.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}

// Signer signs payloads with one private key.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a Signer with a private key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// Sign returns an envelope with one signature over a payload and its type. Sign does not copy the payload.
func (s *Signer) Sign(payloadType string, payload []byte) *Envelope {
	return &Envelope{
		PayloadType: payloadType,
		Payload:     payload,
		Signatures:  []Signature{{KeyID: KeyID(s.Public()), Value: ed25519.Sign(s.key, PAE(payloadType, payload))}},
	}
}

// Public returns the public key of the signer.
func (s *Signer) Public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Keyring holds the trusted keys. One valid signature by any of them is enough. A Keyring is safe for concurrent use.
type Keyring struct {
	keys atomic.Pointer[[]ed25519.PublicKey]
}

// NewKeyring returns a Keyring of copies of the keys. If there are none, or one has the wrong length, NewKeyring
// returns an error.
func NewKeyring(keys ...ed25519.PublicKey) (*Keyring, error) {
	ring := &Keyring{}
	if err := ring.Replace(keys...); err != nil {
		return nil, err
	}
	return ring, nil
}

// Replace replaces the keys. If NewKeyring would return an error, so does Replace, and the keys stay.
func (k *Keyring) Replace(keys ...ed25519.PublicKey) error {
	if len(keys) == 0 {
		return errors.New("a keyring without keys trusts nothing: give it one")
	}
	copies := make([]ed25519.PublicKey, len(keys))
	for i, key := range keys {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("key %d has %d bytes: an Ed25519 key has %d", i+1, len(key), ed25519.PublicKeySize)
		}
		copies[i] = slices.Clone(key)
	}
	k.keys.Store(&copies)
	return nil
}

// Verify returns the payload of an envelope. If the payload has another type, the error wraps ErrPayloadType. If no key
// of the ring signed the envelope, if it has more than MaxSignatures, or if two signatures have the same key id, which
// no signer makes, the error wraps ErrUntrusted.
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
	return nil, fmt.Errorf("%w: signed by %q, trusted are %s", ErrUntrusted,
		shortIDs(e.Signatures, func(s Signature) string { return s.KeyID }), k)
}

// trusted returns the keys of the ring; the zero Keyring has none.
func (k *Keyring) trusted() []ed25519.PublicKey {
	if keys := k.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// verifies reports whether a signature is by a key of the ring.
func (k *Keyring) verifies(message, signature []byte) bool {
	return slices.ContainsFunc(k.trusted(), func(key ed25519.PublicKey) bool {
		return ed25519.Verify(key, message, signature)
	})
}

// String returns the first 12 digits of the key ids: "[0123456789ab]".
func (k *Keyring) String() string { return fmt.Sprint(shortIDs(k.trusted(), KeyID)) }

// shortIDs returns the first 12 bytes of the key id of each element.
func shortIDs[E any](list []E, idOf func(E) string) []string {
	ids := make([]string, len(list))
	for i, e := range list {
		id := idOf(e)
		ids[i] = id[:min(len(id), 12)]
	}
	return ids
}
