package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// TestPackIndex finds the objects of indexes that go-git wrote, one with offsets of 64 bits, and no other.
func TestPackIndex(t *testing.T) {
	for name, distance := range map[string]uint64{"short_offsets": 1000, "long_offsets": 1 << 25} {
		t.Run(name, func(t *testing.T) {
			var w idxfile.Writer
			want := map[plumbing.Hash]int64{}
			if err := w.OnHeader(500); err != nil {
				t.Fatal(err)
			}
			for i := range uint64(500) {
				id := plumbing.ComputeHash(plumbing.BlobObject, fmt.Append(nil, i))
				w.Add(id, 12+i*distance, uint32(i))
				want[id] = int64(12 + i*distance)
			}
			if err := w.OnFooter(plumbing.ZeroHash); err != nil {
				t.Fatal(err)
			}
			index, err := w.Index()
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.Create(filepath.Join(t.TempDir(), "idx"))
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if _, err := idxfile.NewEncoder(file).Encode(index); err != nil {
				t.Fatal(err)
			}
			x, err := openPackIndex(file)
			if err != nil {
				t.Fatal(err)
			}
			for id, offset := range want {
				if got, err := x.find(id); err != nil || got != offset {
					t.Errorf("%s is at %d, %v, want %d", id, got, err, offset)
				}
			}
			for i := range 2000 {
				at, err := x.find(plumbing.ComputeHash(plumbing.TreeObject, fmt.Append(nil, i)))
				if !errors.Is(err, plumbing.ErrObjectNotFound) {
					t.Errorf("another object is at %d, %v", at, err)
				}
			}
		})
	}
}

// TestPackIndex_unreadable has an index that the disk fails to read. An object in it does not count as one that the
// repository does not have.
func TestPackIndex_unreadable(t *testing.T) {
	r := repositoryOf(t)
	installIn(t, r, packOf(uint32(fewObjects+1), chainOf(fewObjects, byHash)...), DefaultLimits)
	id := plumbing.ComputeHash(plumbing.BlobObject, make([]byte, 8))
	for name, use := range map[string]func() error{
		"read": func() error { _, err := r.read(t.Context(), plumbing.BlobObject, id, 8); return err },
		"size": func() error { _, err := r.size(id); return err },
		"find": func() error {
			_, err := r.find(t.Context(), choice{candidates: []candidate{{commit: id}}, history: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.close()
			if err := use(); err != nil {
				t.Fatalf("before: %v", err)
			}
			r.close()
			if err := r.objects.open(); err != nil {
				t.Fatal(err)
			}
			r.objects.packs[0].index.Close() // as if it could not be read
			err := classified(use())
			if !errors.Is(err, errCache) || !errors.Is(err, artifact.ErrStorage) || errors.Is(err, source.ErrReferenceNotFound) {
				t.Errorf("got %v, want %v", err, artifact.ErrStorage)
			}
		})
	}
}

func classified(err error) error { return source.Classify(err, classify) }

// FuzzPackIndex searches an index that was damaged.
func FuzzPackIndex(f *testing.F) {
	header := append([]byte("\xfftOc\x00\x00\x00\x02"), make([]byte, 256*4)...)
	f.Add(header, byte(0))
	f.Add(append(header, make([]byte, 100)...), byte(255))
	counts := append([]byte(nil), header...)
	for i := range 256 {
		counts[indexHeader+4*i+3] = 1
	}
	f.Add(append(counts, make([]byte, 28)...), byte(0))
	f.Fuzz(func(t *testing.T, text []byte, first byte) {
		name := filepath.Join(t.TempDir(), "idx")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		x, err := openPackIndex(file)
		if err != nil {
			return
		}
		if offset, err := x.find(plumbing.Hash{first}); err == nil && offset < 0 {
			t.Errorf("found at %d", offset)
		}
	})
}
