package state

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func TestCheck_largest(t *testing.T) {
	s, _ := newStore(t)
	data := make([]byte, bundle.MaxBlobBytes+1)
	rand.Read(data)
	largest := data[:bundle.MaxBlobBytes]
	if _, got, err := s.Check(manifest.DigestOf(largest), uint64(len(largest)), compress(t, largest)); err != nil ||
		!bytes.Equal(got, largest) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, _, err := s.Check(manifest.DigestOf(data), uint64(len(data)), compress(t, data)); !errors.Is(err, ErrBlob) {
		t.Errorf("one byte more: %v", err)
	}
}
