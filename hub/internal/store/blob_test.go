package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func putBlob(t *testing.T, s *store.Store, data string) manifest.Digest {
	t.Helper()
	d, err := s.Blobs().Put(t.Context(), []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// hasBlob reports whether there is a blob, by every method that says so.
func hasBlob(t *testing.T, s *store.Store, d manifest.Digest) bool {
	t.Helper()
	_, err := s.Blobs().Get(t.Context(), d)
	_, _, err2 := s.Blobs().Compressed(t.Context(), d)
	if errors.Is(err, store.ErrNotFound) != errors.Is(err2, store.ErrNotFound) {
		t.Errorf("get: %v; compressed: %v", err, err2)
	}
	return err == nil
}

func sweep(t *testing.T, s *store.Store, keep ...manifest.Digest) int {
	t.Helper()
	n, err := s.Blobs().Sweep(t.Context(), func(d manifest.Digest) bool {
		for _, k := range keep {
			if k == d {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func blobs(t *testing.T, s *store.Store) {
	w := s.Watch(t.Context())
	defer w.Close()
	data := bytes.Repeat([]byte("all work and no play "), 1000)
	for _, state := range []string{"waiting", "written", "put again"} {
		d := putBlob(t, s, string(data))
		expect(t, "digest", d, manifest.DigestOf(data))
		got, err := s.Blobs().Get(t.Context(), d)
		frame, size, err2 := s.Blobs().Compressed(t.Context(), d)
		reader, err3 := zstd.NewReader(nil)
		plain, err4 := reader.DecodeAll(frame, nil)
		if err := errors.Join(err, err2, err3, err4); err != nil {
			t.Fatalf("%s: %v", state, err)
		}
		expect(t, state+": data", bytes.Equal(got, data), true)
		expect(t, state+": size", size, len(data))
		expect(t, state+": frame", bytes.Equal(plain, data) && len(frame) < len(data)/10, true)
		put(t, s, state)
	}
	expect(t, "changes", len(w.Take()), 3)
	empty := putBlob(t, s, "")
	got, err := s.Blobs().Get(t.Context(), empty)
	expect(t, "empty blob", fmt.Sprint(len(got), err), "0 <nil>")
}

func missingBlobs(t *testing.T, s *store.Store) {
	expect(t, "has", hasBlob(t, s, manifest.DigestOf([]byte("x"))), false)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Blobs().Get(ended, manifest.DigestOf([]byte("x")))
	expect(t, "ended context", errors.Is(err, context.Canceled), true)
}

func deletedBlobs(t *testing.T, s *store.Store) {
	d := putBlob(t, s, "a")
	put(t, s, "row")
	if err := s.Blobs().Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	expect(t, "has", hasBlob(t, s, d), false)
	putBlob(t, s, "a")
	expect(t, "has again", hasBlob(t, s, d), true)
}

func sweeps(t *testing.T, s *store.Store) {
	keep, gone := putBlob(t, s, "b"), putBlob(t, s, "a")
	put(t, s, "row")
	expect(t, "first sweep", sweep(t, s), 0)
	expect(t, "second sweep", sweep(t, s, keep), 1)
	expect(t, "kept", hasBlob(t, s, keep), true)
	expect(t, "gone", hasBlob(t, s, gone), false)
}

// sweepBeforeRow: a sweep that comes between a blob and the row that names it spares the blob, new or old.
func sweepBeforeRow(t *testing.T, s *store.Store) {
	old := putBlob(t, s, "old")
	put(t, s, "another row")
	sweep(t, s) // from here on nothing spares it
	fresh := putBlob(t, s, "fresh")
	putBlob(t, s, "old") // a writer counts on it
	expect(t, "swept", sweep(t, s), 0)
	put(t, s, "the row")
	expect(t, "old", hasBlob(t, s, old), true)
	expect(t, "fresh", hasBlob(t, s, fresh), true)
	expect(t, "swept, without a row", sweep(t, s), 2)
}

// putDuringSweep: a blob that is put while a sweep is about to delete it is there afterwards.
func putDuringSweep(t *testing.T, s *store.Store) {
	d := putBlob(t, s, "a")
	put(t, s, "row")
	sweep(t, s)
	n, err := s.Blobs().Sweep(t.Context(), func(manifest.Digest) bool { putBlob(t, s, "a"); return false })
	expect(t, "swept", fmt.Sprint(n, err), "1 <nil>")
	expect(t, "has", hasBlob(t, s, d), true)
	put(t, s, "the row")
	expect(t, "swept", sweep(t, s), 0)
	expect(t, "has", hasBlob(t, s, d), true)
}

func failedSweep(t *testing.T, s *store.Store) {
	d := putBlob(t, s, "a")
	put(t, s, "row")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Blobs().Sweep(ended, func(manifest.Digest) bool { return false })
	expect(t, "error", errors.Is(err, context.Canceled), true)
	expect(t, "swept", sweep(t, s), 0)
	expect(t, "has", hasBlob(t, s, d), true)
}

// manyBlobs: more than may wait are written before any row is.
func manyBlobs(t *testing.T, s *store.Store) {
	all := make([]byte, 12<<20)
	rand.Read(all)
	var digests []manifest.Digest
	for part := range slices.Chunk(all, 1<<20) {
		digests = append(digests, putBlob(t, s, string(part)))
	}
	put(t, s, "row")
	for _, d := range digests {
		expect(t, "has", hasBlob(t, s, d), true)
	}
}

// failedPut: a Put that fails to write leaves no blob; another Put of the same data goes on, and what waits stays.
func failedPut(t *testing.T, s *store.Store) {
	all := make([]byte, 10<<20) // more than may wait
	rand.Read(all)
	var waiting []manifest.Digest
	for part := range slices.Chunk(all[:8<<20-1<<10], 1<<20) {
		waiting = append(waiting, putBlob(t, s, string(part)))
	}
	last := all[9<<20:]
	locked, release, written := make(chan bool), make(chan bool), make(chan error)
	go func() {
		written <- s.Update(t.Context(), func(*store.Tx) error { locked <- true; <-release; return errAbort })
	}()
	<-locked
	put := func(ctx context.Context) chan error {
		done := make(chan error)
		go func() { _, err := s.Blobs().Put(ctx, last); done <- err }()
		return done
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed, other := put(ctx), put(t.Context())
	cancel()
	expect(t, "put", errors.Is(<-failed, context.Canceled), true)
	expect(t, "has, while no other writes", hasBlob(t, s, manifest.DigestOf(last)), false)
	close(release)
	expect(t, "update", errors.Is(<-written, errAbort), true)
	expect(t, "other put", <-other, nil)
	update(t, s, putSmall("row"))
	for _, d := range append(waiting, manifest.DigestOf(last)) {
		expect(t, "has", hasBlob(t, s, d), true)
	}
}

var errAbort = errors.New("abort")

// TestBlobSize: the store keeps no blob that a spoke would not take.
func TestBlobSize(t *testing.T) {
	s := store.OpenMemory()
	defer s.Close()
	data := make([]byte, bundle.MaxBlobBytes+1)
	rand.Read(data)
	d := putBlob(t, s, string(data[:bundle.MaxBlobBytes]))
	got, err := s.Blobs().Get(t.Context(), d)
	expect(t, "the largest reads back", err == nil && bytes.Equal(got, data[:bundle.MaxBlobBytes]), true)
	_, err = s.Blobs().Put(t.Context(), data)
	var large *bundle.TooLargeError
	expect(t, "one byte more is refused", errors.As(err, &large), true)
}

// TestFile_blobs: a blob is on disk when a row that was written after it is.
func TestFile_blobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s := open(t, path)
	named := putBlob(t, s, "named")
	put(t, s, "row")
	alone := putBlob(t, s, "alone")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	expect(t, "named", hasBlob(t, s, named), true)
	expect(t, "alone", hasBlob(t, s, alone), false)
}
