package store_test

import (
	"bufio"
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/manifest"
)

// childVariable makes the test binary play a part in a process of its own: "part:path".
const childVariable = "NAVE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	switch part, path := os.Getenv(childVariable), os.Getenv(childVariable+"_PATH"); part {
	case "":
		os.Exit(m.Run())
	case "writer":
		exitWith(writeForever(context.Background(), path))
	case "full":
		exitWith(fillTheDisk(context.Background(), path))
	}
}

func exitWith(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(part, path string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+part, childVariable+"_PATH="+path)
	return cmd
}

// writeForever commits a row and a blob at a time, and says so after each commit.
func writeForever(ctx context.Context, path string) error {
	s, err := store.Open(path)
	for i := next(ctx, s); err == nil; i++ {
		if _, err = s.Blobs().Put(ctx, blobOf(i)); err == nil {
			err = s.Update(ctx, func(tx *store.Tx) error {
				return store.Conditions.Put(tx, rowKey(i), store.Condition{ObservedGeneration: int64(i)})
			})
		}
		if err == nil {
			fmt.Println(i)
		}
	}
	return err
}

// next is the number of rows.
func next(ctx context.Context, s *store.Store) (n int) {
	_ = s.View(ctx, func(tx *store.Tx) error {
		return store.Conditions.Scan(tx, "", func(string, store.Condition) error { n++; return nil })
	})
	return n
}

func rowKey(i int) string { return fmt.Sprintf("%08d", i) }

func blobOf(i int) []byte { return fmt.Append(nil, "blob ", i) }

func TestFile_killed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	for range 8 {
		committed := killWhileWriting(t, path, 1+rand.IntN(40))
		s := open(t, path)
		view(t, s, func(tx *store.Tx) error {
			for i := range committed + 1 {
				row, ok, err := store.Conditions.Get(tx, rowKey(i))
				if err != nil || !ok || row.ObservedGeneration != int64(i) {
					t.Fatalf("row %d of %d: %v %v %v", i, committed, row, ok, err)
				}
			}
			return nil
		})
		for i := range next(t.Context(), s) { // also of the row that nobody was told of
			expect(t, "blob", hasBlob(t, s, manifest.DigestOf(blobOf(i))), true)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killWhileWriting kills a writer after some commits, at no moment in particular, and returns the last it told of.
func killWhileWriting(t *testing.T, path string, commits int) (last int) {
	t.Helper()
	cmd := child("writer", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if last, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatalf("the writer says %q", lines.Text())
		}
		if n == commits {
			_ = cmd.Process.Kill() // what was told before it died is read on
		}
	}
	_ = cmd.Wait()
	return last
}

// fillTheDisk lets the kernel refuse a larger file, as a full disk would, and then makes room again.
func fillTheDisk(ctx context.Context, path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := store.Open(path)
	if err != nil {
		return err
	}
	w := s.Watch(ctx)
	if err := errors.Join(s.Update(ctx, putSmall("before")), limitFiles(256<<10)); err != nil {
		return err
	}
	w.Take()
	for range 3 {
		if err := s.Update(ctx, putLarge); !errors.Is(err, store.ErrFull) {
			return fmt.Errorf("the large update: got %v, want ErrFull", err)
		}
	}
	if n := len(w.Take()); n != 0 {
		return fmt.Errorf("watchers heard of %d changes that are not there", n)
	}
	waiting := make([]byte, 1<<20)
	crand.Read(waiting)
	if _, err := s.Blobs().Put(ctx, waiting); err != nil {
		return err
	}
	if err := s.Update(ctx, putSmall("refused")); !errors.Is(err, store.ErrFull) {
		return fmt.Errorf("a small update that may name a blob: got %v, want ErrFull", err)
	}
	err = s.Update(ctx, func(tx *store.Tx) error { tx.NamesNoBlobs(); return putSmall("during")(tx) })
	if err != nil {
		return fmt.Errorf("a small update while the disk is full: %w", err)
	}
	if err := errors.Join(limitFiles(1<<40), s.Update(ctx, putLarge), s.Update(ctx, putSmall("after"))); err != nil {
		return fmt.Errorf("when there is room again: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	if s, err = store.Open(path); err != nil {
		return err
	}
	if _, err := s.Blobs().Get(ctx, manifest.DigestOf(waiting)); err != nil {
		return fmt.Errorf("the blob that waited: %w", err)
	}
	return s.Close()
}

func limitFiles(size uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = min(size, limit.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

func putSmall(key string) func(tx *store.Tx) error {
	return func(tx *store.Tx) error { return store.Conditions.Put(tx, key, store.Condition{}) }
}

func putLarge(tx *store.Tx) error {
	return store.SignedBundles.Put(tx, "large", store.SignedBundle{Envelope: make([]byte, 1<<20)})
}

func TestFile_full_disk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	if out, err := child("full", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := open(t, path)
	defer s.Close()
	expect(t, "rows", keys(t, s, ""), []string{"after", "before", "during"})
	view(t, s, func(tx *store.Tx) error {
		large, _, err := store.SignedBundles.Get(tx, "large")
		expect(t, "large", len(large.Envelope), 1<<20)
		return err
	})
}

func TestFile_reopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s := open(t, path)
	put(t, s, "a")
	epoch := s.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	defer s.Close()
	expect(t, "rows", keys(t, s, ""), []string{"a"})
	expect(t, "epoch", s.Epoch(), epoch)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "mode", info.Mode(), os.FileMode(0o600))
}

func TestFile_no_change(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s := open(t, path)
	defer s.Close()
	put(t, s, "a")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "a")
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(store.Conditions.Put(tx, "b", store.Condition{}), store.Conditions.Delete(tx, "b"))
	})
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "equal", bytes.Equal(before, after), true)
}

func TestFile_locked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	s := open(t, path)
	defer s.Close()
	_, err := store.Open(path)
	expect(t, "locked", errors.Is(err, store.ErrLocked), true)
}

func TestFile_newer_layout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	setLayout(t, path, []byte{0, 0, 0, 0, 0, 0, 0, 99})
	for range 2 {
		_, err := store.Open(path)
		expect(t, "layout", errors.Is(err, store.ErrLayout), true)
	}
}

func setLayout(t *testing.T, path string, value []byte) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("layout"), value) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestFile_damaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.db")
	if err := os.WriteFile(path, bytes.Repeat([]byte("not a store. "), 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(path)
	expect(t, "damaged", errors.Is(err, store.ErrDamaged), true)
}

func BenchmarkUpdate_row(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "hub.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := 0; b.Loop(); i++ {
		if err := s.Update(b.Context(), putSmall(rowKey(i))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate_blobs(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "hub.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for n := 0; b.Loop(); n++ {
		for i := range 1000 {
			object := fmt.Sprintf(`{"apiVersion":"v1","data":{"k":"%d of %d"},"kind":"ConfigMap","metadata":{"labels":`+
				`{"kustomize.toolkit.fluxcd.io/name":"apps"},"name":"c-%d","namespace":"default"}}`, i, n, i)
			if _, err := s.Blobs().Put(b.Context(), []byte(object)); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.Update(b.Context(), putSmall(rowKey(n))); err != nil {
			b.Fatal(err)
		}
	}
}
