package state

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// fill gives a store rows of all kinds: in small buckets, in trees of several pages, in values of several pages.
func fill(t testing.TB, s *Store) {
	t.Helper()
	large := make([]byte, 3*os.Getpagesize())
	rand.NewChaCha8([32]byte{1}).Read(large)
	blobs := []Blob{blob(t, s, string(large))}
	for i := range 60 {
		blobs = append(blobs, blob(t, s, fmt.Sprint("blob ", i)))
	}
	err := s.Accept(accepted(id(1, 7), "envelope"), blobs)
	err = errors.Join(err, s.update(func(tx *bolt.Tx) (err error) {
		for i := range 60 {
			app := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: fmt.Sprintf("app-%03d", i)}
			err = errors.Join(err, tx.Bucket(inventoriesBucket).Put(rowKey(app), bytes.Repeat([]byte("x"), 100)))
		}
		return err
	}))
	if err := errors.Join(err, s.PutMark(app, Mark{Revision: "main@sha1:abc"})); err != nil {
		t.Fatal(err)
	}
}

// filled returns the bytes of a closed state file.
func filled(t testing.TB) []byte {
	t.Helper()
	s, path := newStore(t)
	fill(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// readAll reads and writes everything there is; errors do not matter, it must end without a panic.
func readAll(s *Store) {
	_, _ = s.Accepted()
	_, _ = s.Seen(one)
	_, _ = s.Marks()
	_ = s.Inventories(func(bundle.ApplicationName, []byte) error { return nil })
	_ = s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(blobsBucket).ForEach(func(k, _ []byte) error { return nil })
	})
	_, _ = s.Sweep(func(d manifest.Digest) bool { return d[0]%2 == 0 })
	_ = s.PutInventory(app, bytes.Repeat([]byte("y"), 5000))
	_ = s.Accept(accepted(id(2, 1), "newer"), nil)
}

// openBytes opens a file with the given bytes, and reads all of it if it is whole.
func openBytes(t testing.TB, data []byte) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		return err
	}
	s.db.NoSync = true
	readAll(s)
	return s.Close()
}

func TestDamaged(t *testing.T) {
	whole, page := filled(t), os.Getpagesize()
	random := rand.NewChaCha8([32]byte{2})
	noise := func(data []byte, from, to int) []byte {
		data = bytes.Clone(data)
		random.Read(data[from:to])
		return data
	}
	w := &walk{file: bytes.NewReader(whole)}
	root, err := w.meta()
	if err != nil {
		t.Fatal(err)
	}
	at := int(root) * page
	for name, data := range map[string][]byte{
		"one_byte":   {1},
		"half_page":  whole[:page/2],
		"meta_only":  whole[:2*page],
		"half":       whole[:int(w.end)*page/2],
		"last_byte":  whole[:int(w.end)*page-1],
		"all_random": noise(whole, 0, len(whole)),
		"all_zero":   make([]byte, len(whole)),
		"both_metas": noise(whole, 0, 2*page),
		"root_page":  noise(whole, at, at+page),
		"tail":       noise(whole, 2*page, int(w.end)*page),
	} {
		t.Run(name, func(t *testing.T) {
			if err := openBytes(t, data); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, want %v", err, ErrDamaged)
			}
		})
	}
	if err := openBytes(t, whole); err != nil {
		t.Errorf("the whole file: %v", err)
	}
}

func TestSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	for _, damage := range []string{"first", "second"} { // the second time replaces the file of the first
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		aside, err := SetAside(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(aside); err != nil || string(got) != damage {
			t.Errorf("aside is %q, %v; want %q", got, err, damage)
		}
		s, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDamaged_rows(t *testing.T) {
	s, _ := newStore(t)
	b := blob(t, s, "content")
	if err := s.Accept(accepted(id(1, 1), ""), []Blob{b}); err != nil {
		t.Fatal(err)
	}
	err := s.update(func(tx *bolt.Tx) error {
		row := bytes.Clone(tx.Bucket(blobsBucket).Get(b.digest[:]))
		row[len(row)-1]++
		return errors.Join(tx.Bucket(blobsBucket).Put(b.digest[:], row), tx.Bucket(acceptedBucket).Put(idKey, []byte("{")),
			tx.Bucket(appliedBucket).Put(rowKey(app),
				[]byte("{")), tx.Bucket(inventoriesBucket).Put([]byte("no owner"), nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	_, accepted := s.Accepted()
	_, marks := s.Marks()
	for what, err := range map[string]error{
		"accepted": accepted, "marks": marks,
		"inventories": s.Inventories(func(bundle.ApplicationName, []byte) error { return nil }),
	} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: got %v, want %v", what, err, ErrDamaged)
		}
	}
	if _, err := s.Blob(b.digest); !errors.Is(err, ErrBlob) {
		t.Errorf("blob: got %v, want %v", err, ErrBlob)
	}
	if missing, err := s.Missing([]manifest.Digest{b.digest}); err != nil || len(missing) != 1 {
		t.Errorf("the damaged blob is not fetched again: missing %v, %v", missing, err)
	}
}

// A damage that no look at the structure finds: bbolt itself stumbles over it.
func TestDamaged_later(t *testing.T) {
	s, _ := newStore(t)
	if err := s.update(func(*bolt.Tx) error { panic("page 5 already freed") }); !errors.Is(err, ErrDamaged) {
		t.Errorf("got %v, want %v", err, ErrDamaged)
	}
	select {
	case <-s.Damaged():
	default:
		t.Error("the damage is not reported")
	}
	if err := s.PutMark(app, Mark{}); err != nil { // no lock is left behind
		t.Error(err)
	}
}

// FuzzOpen overwrites a part of a state file. Whatever is overwritten, opening and reading it ends without a panic.
func FuzzOpen(f *testing.F) {
	whole := filled(f)
	for page := range len(whole) / os.Getpagesize() {
		at := uint32(page * os.Getpagesize())
		f.Add(at, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		f.Add(at+8, []byte{1, 0, 0xff, 0xff, 9})
		f.Add(at+headSize, []byte{1, 0, 0, 0, 0xff, 0xff, 0, 0, 2})
		f.Add(at+headSize+8, []byte{4, 0, 0, 0, 0, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, at uint32, with []byte) {
		data := bytes.Clone(whole)
		copy(data[int(at)%len(data):], with)
		_ = openBytes(t, data)
	})
}
