package signing

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

const domain = "nave-0123456789abcdef"

func keyOf(seed byte) *Signer {
	return NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
}

// state returns an encoded statement that the key of one seed signs, and that the key of the first of keys cosigns.
func state(t *testing.T, number uint64, previous byte, keys ...byte) []byte {
	t.Helper()
	s := Statement{TrustDomain: domain, Number: number, Previous: keyOf(previous).Public(),
		IssuedAt: time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)}
	for _, key := range keys {
		s.Keys = append(s.Keys, keyOf(key).Public())
	}
	envelope, err := s.Sign(keyOf(previous), keyOf(keys[0]))
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// seeds returns the keys of a Trust as seeds, the first one first.
func seeds(t Trust) string {
	var all []byte
	for _, key := range t.Keys {
		for seed := byte('a'); seed <= 'z'; seed++ {
			if keyOf(seed).Public().Equal(key) {
				all = append(all, seed)
			}
		}
	}
	return string(all)
}

// TestFollow rotates a → b → c, each with an overlap, and retires the key before.
func TestFollow(t *testing.T) {
	chain := [][]byte{state(t, 1, 'a', 'b', 'a'), state(t, 2, 'b', 'b'), state(t, 3, 'b', 'c', 'b'), state(t, 4, 'c', 'c')}
	after := func(n int) Trust {
		trust, err := Trust{Keys: []ed25519.PublicKey{keyOf('a').Public()}}.Follow(domain, chain[:n])
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	begin := func(keys ...byte) (trust Trust) {
		for _, key := range keys {
			trust.Keys = append(trust.Keys, keyOf(key).Public())
		}
		return trust
	}
	foreign := Statement{TrustDomain: "other", Number: 1, Previous: keyOf('a').Public(),
		Keys: []ed25519.PublicKey{keyOf('b').Public()}}
	other, err := foreign.Sign(keyOf('a'), keyOf('b'))
	if err != nil {
		t.Fatal(err)
	}
	unproven := slices.Clone(chain[0])
	unproven[len(unproven)-1] ^= 1
	for name, c := range map[string]struct {
		from   Trust
		chain  [][]byte
		keys   string
		number uint64
		err    string
	}{
		"slept_through_two":     {begin('a'), chain, "c", 4, ""},
		"in_overlap":            {begin('a'), chain[:1], "ba", 1, ""},
		"joined_with_b":         {begin('b'), chain, "c", 4, ""},
		"joined_with_c":         {begin('c'), chain, "c", 4, ""},
		"by_hand":               {begin('x', 'a'), chain[:1], "ba", 1, ""},
		"stranger":              {begin('x'), chain, "x", 0, ""},
		"again":                 {after(4), chain, "c", 4, ""},
		"resumed":               {after(1), chain, "c", 4, ""},
		"gap":                   {after(1), chain[2:], "ba", 1, "the last one that was accepted is 1"},
		"overlap_key_names_key": {after(1), [][]byte{state(t, 2, 'a', 'x')}, "ba", 1, "since statement 1"},
		"retired_key_names_key": {after(2), [][]byte{state(t, 3, 'a', 'x')}, "b", 2, "since statement 2"},
		"retired_key_returns":   {after(2), [][]byte{state(t, 3, 'b', 'a', 'b')}, "b", 2, "was retired"},
		"older_number":          {after(2), [][]byte{state(t, 1, 'b', 'x')}, "b", 2, ""},
		"other_hub":             {begin('a'), [][]byte{other}, "a", 0, "trust domain"},
		"key_not_owned":         {begin('a'), [][]byte{unproven}, "a", 0, "no valid signature"},
		"no_envelope":           {begin('a'), [][]byte{[]byte("x")}, "a", 0, "decode envelope"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.from.Follow(domain, c.chain)
			if seeds(got) != c.keys || got.Number != c.number {
				t.Errorf("%s at %d, want %s at %d", seeds(got), got.Number, c.keys, c.number)
			}
			if (err != nil) != (c.err != "") || err != nil && (!errors.Is(err, ErrStatement) ||
				!strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

// TestAnchored gives a spoke that followed a chain the keys of a join manifest.
func TestAnchored(t *testing.T) {
	var begin Trust
	begin.Keys = []ed25519.PublicKey{keyOf('a').Public()}
	overlap, err := begin.Follow(domain, [][]byte{state(t, 1, 'a', 'b', 'a')})
	if err != nil {
		t.Fatal(err)
	}
	retired, err := overlap.Follow(domain, [][]byte{state(t, 2, 'b', 'b')})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from   Trust
		given  string
		keys   string
		number uint64
		fails  bool
	}{
		"first":          {Trust{}, "a", "a", 0, false},
		"by_hand":        {begin, "ab", "ab", 0, false},
		"removed":        {Trust{Keys: append(slices.Clone(begin.Keys), keyOf('b').Public())}, "b", "b", 0, false},
		"older_manifest": {overlap, "a", "ba", 1, false},
		"same":           {overlap, "b", "ba", 1, false},
		"retired":        {retired, "a", "b", 2, true},
		"newer_manifest": {retired, "c", "c", 0, false},
		"retired_beside": {retired, "ac", "c", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var keys []ed25519.PublicKey
			for _, seed := range []byte(c.given) {
				keys = append(keys, keyOf(seed).Public())
			}
			got, err := c.from.Anchored(keys)
			if seeds(got) != c.keys || got.Number != c.number || (err != nil) != c.fails {
				t.Errorf("%s at %d, error %v; want %s at %d", seeds(got), got.Number, err, c.keys, c.number)
			}
		})
	}
}

// FuzzStatement opens what anybody may send.
func FuzzStatement(f *testing.F) {
	s := Statement{TrustDomain: domain, Number: 1, Previous: keyOf('a').Public(),
		Keys: []ed25519.PublicKey{keyOf('b').Public(), keyOf('a').Public()}, IssuedAt: time.Unix(0, 0)}
	envelope, err := s.Sign(keyOf('a'), keyOf('b'))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(envelope)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := OpenStatement(data)
		if err == nil && (!got.Previous.Equal(keyOf('a').Public()) || len(got.Keys) == 0) {
			t.Errorf("opened %+v, which nobody signed", got)
		}
	})
}
