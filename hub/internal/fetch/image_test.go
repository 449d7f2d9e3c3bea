package fetch_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source/worker"
	"github.com/navefleet/nave/hub/internal/store"
)

func imageKey(cluster, name string) api.Key {
	return api.Key{Cluster: cluster, Kind: api.ImageRepositoryKind, Namespace: "apps", Name: name}
}

// putImage writes an ImageRepository with an interval of an hour.
func putImage(tx *store.Tx, k api.Key, image, requested string) error {
	object, err := json.Marshal(map[string]any{
		"apiVersion": "image.toolkit.fluxcd.io/v1", "kind": "ImageRepository",
		"metadata": map[string]any{"name": k.Name, "namespace": k.Namespace},
		"spec":     map[string]any{"image": image, "insecure": true, "interval": "1h"},
	})
	if err != nil {
		return err
	}
	row := store.Resource{Key: k, Generation: 1, RequestedAt: requested, Object: api.StoredObject(k, object)}
	return store.Resources.Put(tx, k.Path(), row)
}

// TestImages scans the same image once for three clusters. If the registry is down, the list and the time of the last
// scan stay.
func TestImages(t *testing.T) {
	registry, err := ocitest.Start(ocitest.Options{})
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Commit("org/app:1.0.0", nil, "main@sha1:0123"); err != nil {
		t.Fatal(err)
	}
	r, _ := startReal(t, gittest.Options{}, func(c *fetch.Config) { c.Fetcher = worker.All() })
	image := registry.Host() + "/org/app"
	before := registry.Requests()
	o := r.scan(image, "first")
	if got := registry.Requests() - before; got != 2 { // the challenge and the list
		t.Errorf("%d requests for three clusters", got)
	}
	if o.Message != "successful scan: found 1 tag" || o.Ready != "True" {
		t.Errorf("condition %+v", o)
	}
	first := r.scanned()
	if first.SucceededAt.IsZero() {
		t.Error("the scan has no time")
	}
	r.scan(image, "again")
	again := r.scanned()
	if !again.SucceededAt.After(first.SucceededAt) || !again.Artifact.Equal(first.Artifact) {
		t.Errorf("after another scan: %+v, before: %+v", again, first)
	}
	if err := registry.Close(); err != nil {
		t.Fatal(err)
	}
	if o := r.scan(image, "down"); o.Ready != "False" || o.Reason != "ReadOperationFailed" {
		t.Errorf("condition %+v", o)
	}
	down := r.scanned()
	if !down.SucceededAt.Equal(again.SucceededAt) || !down.Artifact.Equal(again.Artifact) {
		t.Errorf("while the registry is down: %+v, before: %+v", down, again)
	}
}

// scan requests a scan in three clusters, waits until it is handled, and returns the condition in one of them.
func (r *real) scan(image, at string) (last store.Condition) {
	r.Helper()
	w := r.store.Watch(r.Context(), store.Conditions.Name())
	defer w.Close()
	clusters := []string{"east", "west", "south"}
	err := r.store.Update(r.Context(), func(tx *store.Tx) (err error) {
		for _, cluster := range clusters {
			err = errors.Join(err, putImage(tx, imageKey(cluster, "app"), image, at))
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	for _, cluster := range clusters {
		for last.HandledRequest = ""; last.HandledRequest != at; {
			err := r.store.View(r.Context(), func(tx *store.Tx) (err error) {
				last, _, err = store.Conditions.Get(tx, imageKey(cluster, "app").Path())
				return err
			})
			if err != nil {
				r.Fatal(err)
			}
			if last.HandledRequest == at {
				break
			}
			select {
			case <-w.C():
				w.Take()
			case <-time.After(time.Minute):
				r.Fatalf("not handled within a minute: %+v", last)
			}
		}
	}
	return last
}

// scanned returns the one row of a source.
func (r *real) scanned() (found store.Fetched) {
	r.Helper()
	rows := 0
	err := r.store.View(r.Context(), func(tx *store.Tx) error {
		rows = 0
		return store.Sources.Scan(tx, "", func(_ string, row store.Fetched) error {
			rows, found = rows+1, row
			return nil
		})
	})
	if err != nil || rows != 1 {
		r.Fatalf("%d sources, %v", rows, err)
	}
	return found
}
