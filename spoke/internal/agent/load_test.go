package agent

import (
	"context"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/decrypt"
)

// TestOpen_once reads a file once in a run, whether it does not open or there are no keys, unless the run was stopped
// meanwhile.
func TestOpen_once(t *testing.T) {
	reads := 0
	l := &loader{
		app: &bundle.Application{SealedFiles: []bundle.SealedFile{{Path: "a.yaml", Format: bundle.YAML}}},
		blob: func(manifest.Digest) ([]byte, error) {
			reads++
			return []byte("a: b"), nil
		},
		keys: &decrypt.Keys{}, known: newRedactors(),
		opened: map[int]*decrypt.Plaintext{}, closed: map[int]error{}, recipients: map[int]string{},
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.open(stopped, 0); err == nil || reads != 1 {
		t.Error(err, reads)
	}
	for range 3 {
		if _, err := l.open(t.Context(), 0); err == nil || reads != 2 {
			t.Error(err, reads)
		}
	}
	l.keys, l.closed = nil, map[int]error{}
	for range 3 {
		if _, err := l.open(t.Context(), 0); err == nil || reads != 3 {
			t.Error(err, reads)
		}
	}
}
