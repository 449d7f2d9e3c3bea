package bundle

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/signing"
)

func TestEntriesFit(t *testing.T) {
	b := example()
	b.Cluster = strings.Repeat("c", maxCluster)
	b.Epoch, b.Sequence = 1<<64-1, 1<<64-1
	b.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	b.Applications[0].Revision = strings.Repeat("r", maxEntriesBytes-300) // a little less than all
	for FitsBundle(b) == nil {
		if _, err := b.Encode(); err != nil {
			t.Fatalf("it fits, and Encode says: %v", err)
		}
		b.Applications[0].Revision += "r"
	}
	var large *TooLargeError
	if _, err := b.Encode(); !errors.As(err, &large) {
		t.Errorf("it does not fit, and Encode says: %v", err)
	}
}

func TestBundleFitsEnvelope(t *testing.T) {
	signed := &signing.Envelope{
		PayloadType: PayloadType, Payload: make([]byte, MaxBundleBytes),
		Signatures: []signing.Signature{{KeyID: strings.Repeat("k", 100), Value: make([]byte, 64)}},
	}
	if _, err := signed.Encode(); err != nil {
		t.Error(err)
	}
}

func TestBlobLimits(t *testing.T) {
	for name, limit := range map[string]int{
		"envelope": signing.MaxEnvelopeBytes, "application": MaxApplicationBytes, "object": MaxObjectBytes, "sealed " +
			"file": MaxSealedFileBytes,
	} {
		if limit > MaxBlobBytes {
			t.Errorf("%s: %d bytes", name, limit)
		}
	}
}
