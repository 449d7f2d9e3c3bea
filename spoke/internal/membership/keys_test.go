package membership

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"testing"

	"github.com/navefleet/nave/shared/signing"
)

func signerOf(seed byte) *signing.Signer {
	return signing.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// statement returns an encoded statement of the test domain.
func statement(t *testing.T, number uint64, previous *signing.Signer, keys ...*signing.Signer) []byte {
	t.Helper()
	s := signing.Statement{TrustDomain: "test", Number: number, Previous: previous.Public()}
	for _, key := range keys {
		s.Keys = append(s.Keys, key.Public())
	}
	envelope, err := s.Sign(previous, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// pod is a spoke whose Secret survives it.
type pod struct {
	*testing.T
	entry   []byte
	full    error // of the next Save
	refused []error
}

// start returns the Keys of a new Pod with the keys of a join manifest.
func (p *pod) start(given ...*signing.Signer) *Keys {
	p.Helper()
	kept, err := ReadKept(map[string][]byte{keysEntry: p.entry})
	if p.entry == nil {
		kept, err = ReadKept(nil)
	}
	if err != nil {
		p.Fatal(err)
	}
	c := KeysConfig{TrustDomain: "test", Save: func(_ context.Context, k KeptKeys) error {
		if p.full != nil {
			return p.full
		}
		p.entry, err = json.Marshal(k)
		return err
	}, Refused: func(err error) { p.refused = append(p.refused, err) }}
	for _, signer := range given {
		c.Given = append(c.Given, signer.Public())
	}
	keys, err := kept.Keys(c)
	if err != nil {
		p.Fatal(err)
	}
	return keys
}

// accepts reports whether a key may sign for the spoke.
func accepts(k *Keys, by *signing.Signer) bool {
	_, err := k.Keyring().Verify(by.Sign("type", []byte("payload")), "type")
	return err == nil
}

// TestKeys follows rotations over restarts: a retired key does not come back, whatever manifest is applied.
func TestKeys(t *testing.T) {
	a, b, c := signerOf('a'), signerOf('b'), signerOf('c')
	p := &pod{T: t}
	k := p.start(a)
	chain := [][]byte{statement(t, 1, a, b, a), statement(t, 2, b, b), statement(t, 3, b, c, b), statement(t, 4, c, c)}

	p.full = errors.New("the API server is down")
	if err := k.Accept(t.Context(), chain[:1]); !errors.Is(err, p.full) || accepts(k, b) || k.Statement() != 0 {
		t.Errorf("error %v, accepts b: %t; a key that is not stored must not be used", err, accepts(k, b))
	}
	p.full = nil
	if err := k.Accept(t.Context(), chain[:1]); err != nil || !accepts(k, a) || !accepts(k, b) {
		t.Errorf("error %v; in the overlap both keys are accepted", err)
	}
	k = p.start(a) // slept through the rest
	if err := k.Accept(t.Context(), chain[1:]); err != nil || accepts(k, a) || accepts(k, b) || !accepts(k, c) {
		t.Errorf("error %v; want c only", err)
	}
	for name, given := range map[string]*signing.Signer{"first_manifest": a, "newer_manifest": b, "newest_manifest": c} {
		if k := p.start(given); accepts(k, a) || accepts(k, b) || !accepts(k, c) {
			t.Errorf("%s: want c only, have %s", name, k.Keyring())
		}
	}
	if len(p.refused) > 0 {
		t.Errorf("refused %v", p.refused)
	}
	k = p.start(a)
	if err := k.Accept(t.Context(), [][]byte{statement(t, 5, b, signerOf('x'))}); err != nil || len(p.refused) != 1 ||
		!errors.Is(p.refused[0], signing.ErrStatement) || !accepts(k, c) || accepts(k, signerOf('x')) {
		t.Errorf("error %v, refused %v; a retired key names no keys", err, p.refused)
	}
	if k = p.start(signerOf('n')); !accepts(k, signerOf('n')) || accepts(k, c) {
		t.Error("an operator's new key counts alone")
	}
}
