package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
)

func TestTheStoreKeepsNoBlobThatASpokeWouldNotTake(t *testing.T) {
	s := store.OpenMemory()
	defer s.Close()
	data := make([]byte, bundle.MaxBlobBytes+1)
	rand.Read(data)
	update(t, s, func(tx *store.Tx) error {
		d, err := store.PutBlob(tx, data[:bundle.MaxBlobBytes])
		if err != nil {
			return err
		}
		got, err := store.Blob(tx, d)
		expect(t, "the largest reads back", bytes.Equal(got, data[:bundle.MaxBlobBytes]), true)
		return err
	})
	err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := store.PutBlob(tx, data); return err })
	var large *bundle.TooLargeError
	expect(t, "one byte more is refused", errors.As(err, &large), true)
}
