package hub_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.etcd.io/bbolt"

	"github.com/navefleet/nave/e2e/gittest"
	spokev1 "github.com/navefleet/nave/proto/nave/spoke/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
)

// TestDamagedBlobs starts a hub that has lost the blobs with a word. A spoke that asks for all that its bundle names
// gets them again.
func TestDamagedBlobs(t *testing.T) {
	server, err := gittest.Start(gittest.Options{})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	repository, err := server.NewRepository("fleet")
	must(t, err)
	_, err = repository.Commit(map[string]string{
		"clusters/a/config.yaml": configMapOf("x", "payloadword"),
		"clusters/a/child.yaml": "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n" +
			"metadata: {name: child, namespace: flux-system}\nspec: {interval: 1h, prune: true, path: ./child, " +
			"sourceRef: {kind: GitRepository, name: fleet}}\n",
		"child/c.yaml": configMapOf("c", "childword"),
	}, "one")
	must(t, err)
	seed := t.TempDir()
	r := start(t, seed)
	r.apply(cluster + strings.ReplaceAll(rootOfGit, "URL", repository.URL()))
	conn, token := r.join("a")
	s := newSpoke(t, conn, token)
	s.await("payloadword")
	s.await("childword")
	must(t, r.stop())

	const application = "application"
	for _, c := range []struct {
		name, word string
		value      []byte
	}{
		{"payload_cut_off", "payloadword", []byte{1}},
		{"payload_garbage", "payloadword", []byte("longer than a size, no frame")},
		{"payload_missing", "payloadword", nil},
		{"graph_cut_off", `"path":"./child"`, []byte{1}},
		{"graph_missing", `"path":"./child"`, nil},
		{"application_cut_off", application, []byte{1}},
		{"application_missing", application, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "hub")
			must(t, os.CopyFS(dir, os.DirFS(seed)))
			must(t, filepath.WalkDir(dir, private))
			lose(t, filepath.Join(dir, "hub.db"), c.value, func(d manifest.Digest, data []byte) bool {
				if c.word == application {
					return s.last.Applications[0].Digest == d
				}
				return bytes.Contains(data, []byte(c.word))
			})
			r := start(t, dir)
			conn, token := r.join("a")
			s := newSpoke(t, conn, token)
			b := s.take()
			for deadline := time.After(20 * time.Second); !s.hasAll(b); {
				select {
				case <-deadline:
					t.Fatal("the hub does not make the blobs anew")
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

func configMapOf(name, value string) string {
	return "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: default}\ndata: {key: " + value +
		"}\n"
}

// lose overwrites blobs in the file of a store, or deletes them if value is nil.
func lose(t *testing.T, file string, value []byte, lost func(d manifest.Digest, data []byte) bool) {
	t.Helper()
	decoder, err := zstd.NewReader(nil)
	must(t, err)
	defer decoder.Close()
	db, err := bbolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		blobs, keys := tx.Bucket([]byte("blobs")), [][]byte{}
		must(t, blobs.ForEach(func(key, stored []byte) error {
			d, err := manifest.DigestFromBytes(key)
			must(t, err)
			data, err := decoder.DecodeAll(stored[8:], nil) // after the size
			if lost(d, data) {
				keys = append(keys, bytes.Clone(key))
			}
			return err
		}))
		if len(keys) == 0 {
			t.Fatal("no blob is lost")
		}
		for _, key := range keys {
			if value == nil {
				must(t, blobs.Delete(key))
			} else {
				must(t, blobs.Put(key, value))
			}
		}
		return nil
	}))
	must(t, db.Close())
}

// hasAll reports whether the hub gives all blobs of a bundle.
func (s *spoke) hasAll(b *bundle.Bundle) bool {
	for _, e := range b.Applications {
		if !s.gives(e.Digest) {
			return false
		}
		a, err := bundle.DecodeApplication(s.fetch(e.Digest))
		must(s.t, err)
		for _, d := range a.Digests() {
			if !s.gives(d) {
				return false
			}
		}
	}
	return true
}

func (s *spoke) gives(d manifest.Digest) bool {
	stream, err := s.client.Fetch(s.t.Context(), &spokev1.FetchRequest{Digests: [][]byte{d[:]}})
	must(s.t, err)
	for err == nil {
		_, err = stream.Recv()
	}
	return errors.Is(err, io.EOF)
}
