package signing

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	bundlev1 "github.com/navefleet/nave/proto/nave/bundle/v1"
)

// StatementType is the DSSE payload type of a Statement, so that no statement is a bundle.
const StatementType = "application/vnd.nave.keys.v1+protobuf"

// maxStatementKeys bounds the keys of a statement: the one that signs, and those of an overlap.
const maxStatementKeys = 4

// ErrStatement means that a statement about keys cannot be trusted.
var ErrStatement = errors.New("statement about signing keys not accepted")

// Statement says which keys are accepted from now on. The key that signed before signs the statement, so that whoever
// trusts that key may trust the statement. The new key signs it, too, so that nobody can name a key that he has not.
type Statement struct {
	TrustDomain string
	Number      uint64              // from 1; each statement has the next number
	Previous    ed25519.PublicKey   // signed before
	Keys        []ed25519.PublicKey // accepted from now on; the first one signs
	IssuedAt    time.Time
}

// Sign returns the encoded envelope of a statement with the signatures of both keys. next may be previous.
func (s Statement) Sign(previous, next *Signer) ([]byte, error) {
	message := &bundlev1.KeyStatement{TrustDomain: s.TrustDomain, Number: s.Number, Previous: s.Previous,
		IssuedAt: timestamppb.New(s.IssuedAt)}
	for _, key := range s.Keys {
		message.Keys = append(message.Keys, key)
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode statement about signing keys: %w", err)
	}
	e := previous.Sign(StatementType, payload)
	if !previous.Public().Equal(next.Public()) {
		e.Signatures = append(e.Signatures, next.Sign(StatementType, payload).Signatures...)
	}
	return e.Encode()
}

// OpenStatement returns the statement in an encoded envelope that the keys which it names have signed. Whether its
// previous key is trusted is for Trust.Next to say.
func OpenStatement(envelope []byte) (Statement, error) {
	e, err := DecodeEnvelope(envelope)
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	s, err := decodeStatement(e.Payload) // both signatures are verified before anything of it is used
	if err != nil {
		return Statement{}, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	for _, key := range []ed25519.PublicKey{s.Previous, s.Keys[0]} {
		ring, err := NewKeyring(key)
		if err == nil {
			_, err = ring.Verify(e, StatementType)
		}
		if err != nil {
			return Statement{}, fmt.Errorf("%w: number %d: %w", ErrStatement, s.Number, err)
		}
	}
	return s, nil
}

func decodeStatement(payload []byte) (Statement, error) {
	m := new(bundlev1.KeyStatement)
	if err := proto.Unmarshal(payload, m); err != nil {
		return Statement{}, err
	}
	s := Statement{TrustDomain: m.GetTrustDomain(), Number: m.GetNumber(), Previous: m.GetPrevious(),
		IssuedAt: m.GetIssuedAt().AsTime()}
	for _, key := range m.GetKeys() {
		s.Keys = append(s.Keys, key)
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return s, errors.New("a field that this version does not know: upgrade it")
	}
	return s, s.check()
}

// check returns an error unless the fields are complete, and no key is listed twice.
func (s Statement) check() error {
	if s.Number == 0 || s.TrustDomain == "" {
		return errors.New("no number, or no trust domain")
	}
	if len(s.Keys) == 0 || len(s.Keys) > maxStatementKeys {
		return fmt.Errorf("%d keys: want 1 to %d", len(s.Keys), maxStatementKeys)
	}
	if len(s.Previous) != ed25519.PublicKeySize {
		return fmt.Errorf("the previous key has %d bytes: an Ed25519 key has %d", len(s.Previous), ed25519.PublicKeySize)
	}
	for i, key := range s.Keys {
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("key %d has %d bytes: an Ed25519 key has %d", i+1, len(key), ed25519.PublicKeySize)
		}
		if contains(s.Keys[:i], key) {
			return fmt.Errorf("key %d is listed twice", i+1)
		}
	}
	return nil
}

// Trust is which keys are trusted, as far as a chain of statements was followed.
type Trust struct {
	Number  uint64              `json:"number"`            // of the last statement; 0: none was followed
	Keys    []ed25519.PublicKey `json:"keys"`              // accepted; after a statement, the first one signs
	Retired []string            `json:"retired,omitempty"` // the key ids of those that never come back
}

// Keyring returns the keys that are accepted.
func (t Trust) Keyring() (*Keyring, error) { return NewKeyring(t.Keys...) }

// Follow returns the trust after the statements of a chain, in order. Statements up to the number that was followed are
// skipped. While none was followed, so are those that no trusted key made, because the keys of a join manifest may be
// newer than the first statements. A chain that does not continue what is trusted is ErrStatement, and Follow returns
// the trust before the statement that failed.
func (t Trust) Follow(trustDomain string, chain [][]byte) (Trust, error) {
	for _, envelope := range chain {
		s, err := OpenStatement(envelope)
		if err != nil {
			return t, err
		}
		if s.Number <= t.Number || t.Number == 0 && !contains(t.Keys, s.Previous) {
			continue
		}
		if t, err = t.next(trustDomain, s); err != nil {
			return t, err
		}
	}
	return t, nil
}

// next returns the trust after one statement, whose signatures are verified.
func (t Trust) next(trustDomain string, s Statement) (Trust, error) {
	refuse := func(format string, args ...any) (Trust, error) {
		return t, fmt.Errorf("%w: number %d: %s", ErrStatement, s.Number, fmt.Sprintf(format, args...))
	}
	if s.TrustDomain != trustDomain {
		return refuse("it is of the trust domain %q, want %q", s.TrustDomain, trustDomain)
	}
	if t.Number > 0 && s.Number != t.Number+1 {
		return refuse("the last one that was accepted is %d", t.Number)
	}
	if t.Number > 0 && !t.Keys[0].Equal(s.Previous) { // a key of the overlap accepts bundles, and no keys
		return refuse("key %.12s signed it, but %.12s signs since statement %d", KeyID(s.Previous), KeyID(t.Keys[0]),
			t.Number)
	}
	next := Trust{Number: s.Number, Keys: s.Keys, Retired: slices.Clone(t.Retired)}
	for _, key := range t.Keys {
		if !contains(s.Keys, key) {
			next.Retired = append(next.Retired, KeyID(key))
		}
	}
	for _, key := range s.Keys {
		if slices.Contains(next.Retired, KeyID(key)) {
			return refuse("key %.12s was retired", KeyID(key))
		}
	}
	return next, nil
}

// Anchored returns the trust after an operator gave keys in a join manifest. Keys that were retired do not come back.
// If a chain was followed and the manifest has only keys of the chain, it is older than the chain or as old, and
// nothing changes. Otherwise the trust begins anew with the keys of the manifest. If all of them are retired, the error
// is ErrStatement, and nothing changes.
func (t Trust) Anchored(keys []ed25519.PublicKey) (Trust, error) {
	var usable []ed25519.PublicKey
	isNew := t.Number == 0
	for _, key := range keys {
		if slices.Contains(t.Retired, KeyID(key)) {
			continue
		}
		usable = append(usable, key)
		isNew = isNew || !contains(t.Keys, key)
	}
	switch {
	case len(usable) == 0 && len(t.Keys) > 0:
		return t, fmt.Errorf("%w: the keys of the join manifest are retired, the spoke keeps those that it has: apply a "+
			"manifest that the hub prints now", ErrStatement)
	case isNew:
		return Trust{Keys: usable, Retired: t.Retired}, nil
	}
	return t, nil
}

func contains(keys []ed25519.PublicKey, key ed25519.PublicKey) bool {
	return slices.ContainsFunc(keys, func(k ed25519.PublicKey) bool { return k.Equal(key) })
}
