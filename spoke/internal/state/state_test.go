package state

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

func blob(t testing.TB, s *Store, text string) Blob {
	t.Helper()
	b, _, err := s.Check(manifest.DigestOf([]byte(text)), uint64(len(text)), compress(t, []byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newStore(t testing.TB) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func id(epoch, sequence uint64) bundle.ID {
	return bundle.ID{Epoch: epoch, Sequence: sequence, Digest: manifest.DigestOf([]byte{byte(epoch), byte(sequence)})}
}

func accepted(id bundle.ID, envelope string) Accepted {
	return Accepted{Recipient: "spiffe://one/cluster/prod", ID: id, Envelope: []byte(envelope)}
}

var app = bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps"}

func TestAccept_kill(t *testing.T) {
	s, path := newStore(t)
	b := blob(t, s, `{"kind":"ConfigMap"}`)
	mark := Mark{Digest: b.digest, Revision: "main@sha1:abc", At: time.Unix(1, 0).UTC(), Prune: true,
		DependsOn: []bundle.ApplicationName{{Kind: "Kustomization", Namespace: "ns", Name: "infra"}}}
	if err := errors.Join(s.Accept(accepted(id(1, 7), "envelope"), []Blob{b}), s.PutMark(app, mark),
		s.PutInventory(app, []byte("owned"))); err != nil {
		t.Fatal(err)
	}
	// A copy of the file as it is now is what a killed process leaves behind.
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(left, data, 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(left)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	a, err := again.Accepted()
	if err != nil || a.ID != id(1, 7) || string(a.Envelope) != "envelope" {
		t.Errorf("accepted: %+v, %v", a, err)
	}
	if got, err := again.Blob(b.digest); err != nil || string(got) != `{"kind":"ConfigMap"}` {
		t.Errorf("blob: %q, %v", got, err)
	}
	if marks, err := again.Marks(); err != nil || !reflect.DeepEqual(marks[app], mark) {
		t.Errorf("marks: %+v, %v", marks, err)
	}
	if got, err := again.Inventory(app); err != nil || string(got) != "owned" {
		t.Errorf("inventory: %q, %v", got, err)
	}
}

func TestAccept_older(t *testing.T) {
	s, _ := newStore(t)
	fork := id(2, 5)
	fork.Digest = manifest.DigestOf([]byte("fork"))
	for _, step := range []struct {
		id   bundle.ID
		want error
	}{{id(2, 4), nil}, {id(2, 5), nil}, {id(2, 5), nil}, {id(2, 4), ErrOlder}, {id(1, 9), ErrOlder}, {fork,
		ErrOlder}, {id(3, 1), nil}} {
		if err := s.Accept(accepted(step.id, ""), nil); !errors.Is(err, step.want) {
			t.Errorf("accept %v: got %v, want %v", step.id, err, step.want)
		}
	}
}

func TestCheck_other_frame(t *testing.T) {
	s, _ := newStore(t)
	data := []byte("the content of a blob, a little longer than a few bytes")
	digest, frame := manifest.DigestOf(data), compress(t, data)
	bomb := compress(t, make([]byte, 64<<20))
	w, _ := zstd.NewWriter(nil, zstd.WithWindowSize(64<<20), zstd.WithSingleSegment(false))
	var wide bytes.Buffer
	w.Reset(&wide)
	w.Write(make([]byte, 1<<20))
	w.Close()
	tests := map[string]struct {
		digest manifest.Digest
		size   uint64
		frame  []byte
	}{
		"another_digest":    {manifest.DigestOf([]byte("x")), uint64(len(data)), frame},
		"longer_announced":  {digest, uint64(len(data)) + 1, frame},
		"shorter_announced": {digest, uint64(len(data)) - 1, frame},
		"cut_off":           {digest, uint64(len(data)), frame[:len(frame)-3]},
		"more_behind_it":    {digest, uint64(len(data)), append(bytes.Clone(frame), frame...)},
		"garbage_behind_it": {digest, uint64(len(data)), append(bytes.Clone(frame), 1, 2, 3, 4)},
		"no_frame":          {digest, uint64(len(data)), nil},
		"not_compressed":    {digest, uint64(len(data)), data},
		"bomb":              {digest, uint64(len(data)), bomb},
		"wide_window":       {manifest.DigestOf(make([]byte, 1<<20)), 1 << 20, wide.Bytes()},
		"huge_size":         {digest, 1 << 60, frame},
		"flood":             {digest, 10, make([]byte, 4096)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, _, err := s.Check(tt.digest, tt.size, tt.frame); !errors.Is(err, ErrBlob) {
				t.Errorf("got %v, want ErrBlob", err)
			}
		})
	}
	if _, _, err := s.Check(digest, uint64(len(data)), frame); err != nil {
		t.Errorf("the blob itself, afterwards: %v", err)
	}
	if _, _, err := s.Check(manifest.DigestOf(nil), 0, compress(t, nil)); err != nil {
		t.Errorf("an empty blob: %v", err)
	}
}

func TestBlob_changed_on_disk(t *testing.T) {
	s, _ := newStore(t)
	b := blob(t, s, "content")
	row := append([]byte{0, 0, 0, 0, 0, 0, 0, 7}, compress(t, []byte("c0ntent"))...)
	if err := s.update(func(tx *bolt.Tx) error { return tx.Bucket(blobsBucket).Put(b.digest[:], row) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Blob(b.digest); !errors.Is(err, ErrBlob) {
		t.Errorf("got %v, want ErrBlob", err)
	}
}

func TestSweep(t *testing.T) {
	s, _ := newStore(t)
	kept, gone := blob(t, s, "kept"), blob(t, s, "gone")
	if err := s.PutBlobs([]Blob{kept, gone}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Sweep(func(d manifest.Digest) bool { return d == kept.digest })
	if err != nil || n != 1 {
		t.Fatalf("swept %d, %v", n, err)
	}
	missing, err := s.Missing([]manifest.Digest{kept.digest, gone.digest})
	if err != nil || len(missing) != 1 || missing[0] != gone.digest {
		t.Errorf("missing %v, %v", missing, err)
	}
}

func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := OpenLimited(path, 256<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Accept(accepted(id(1, 1), "first"), []Blob{blob(t, s, "small")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Accept(accepted(id(1, 2), strings.Repeat("x", 1<<20)), nil); !errors.Is(err, ErrFull) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if a, err := s.Accepted(); err != nil || a.ID != id(1, 1) || string(a.Envelope) != "first" {
		t.Errorf("afterwards: %+v, %v", a, err)
	}
	if err := s.Accept(accepted(id(1, 2), "fits"), nil); err != nil {
		t.Errorf("once there is space: %v", err)
	}
}

func TestForget(t *testing.T) {
	s, _ := newStore(t)
	other := bundle.ApplicationName{Kind: "Kustomization", Namespace: "flux-system", Name: "apps2"}
	if err := errors.Join(s.PutInventory(app, []byte("a")), s.PutMark(app, Mark{}), s.PutInventory(other, []byte("b")),
		s.PutJournal(app, []byte("c")), s.PutJournal(other, []byte("d")), s.Forget(app)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Journal(app); !errors.Is(err, ErrNotFound) {
		t.Errorf("journal: %v", err)
	}
	if data, err := s.Journal(other); err != nil || string(data) != "d" {
		t.Errorf("journal: %q, %v", data, err)
	}
	if _, err := s.Inventory(app); !errors.Is(err, ErrNotFound) {
		t.Errorf("inventory: %v", err)
	}
	var apps []bundle.ApplicationName
	err := s.Inventories(func(o bundle.ApplicationName, _ []byte) error { apps = append(apps, o); return nil })
	if err != nil || len(apps) != 1 || apps[0] != other {
		t.Errorf("left: %v, %v", apps, err)
	}
}

// TestOpen_older opens a file of a spoke that had no journals.
func TestOpen_older(t *testing.T) {
	s, path := newStore(t)
	if err := errors.Join(s.PutInventory(app, []byte("a")), s.update(func(tx *bolt.Tx) error {
		return tx.DeleteBucket(journalsBucket)
	}), s.Close()); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := s.Inventory(app); err != nil || string(data) != "a" {
		t.Errorf("inventory: %q, %v", data, err)
	}
	if err := errors.Join(s.PutJournal(app, []byte("b")), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestOpen_refused(t *testing.T) {
	s, path := newStore(t)
	if _, err := Open(path); err == nil {
		t.Error("opened twice")
	}
	if err := s.update(func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Put(layoutKey, []byte("2")) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("opened a newer layout")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func FuzzCheck(f *testing.F) {
	data := []byte("some content")
	f.Add(uint64(len(data)), compress(f, data))
	s, _ := newStore(f)
	f.Fuzz(func(t *testing.T, size uint64, frame []byte) {
		got, err := s.frames.decode(frame, size%(1<<16))
		if err == nil && uint64(len(got)) != size%(1<<16) {
			t.Fatalf("%d bytes, announced %d", len(got), size%(1<<16))
		}
	})
}
