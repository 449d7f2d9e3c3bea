package store

import (
	"fmt"
	"testing"
)

// BenchmarkPageKeys lists the keys of the turns of 10,000 clusters, as package admin does for one rollout.
func BenchmarkPageKeys(b *testing.B) {
	s := OpenMemory()
	err := s.Update(b.Context(), func(tx *Tx) error {
		for i := range 10_000 {
			turn := Turn{Before: []Content{{Revision: "main@sha1:0123456789abcdef0123456789abcdef01234567"}}}
			if err := Turns.Put(tx, TurnKey(fmt.Sprintf("c%05d", i), "fleet"), turn); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		err := s.View(b.Context(), func(tx *Tx) error {
			keys, _, err := Turns.PageKeys(tx, "", "", 20_000)
			if len(keys) != 10_000 {
				b.Errorf("%d keys", len(keys))
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
