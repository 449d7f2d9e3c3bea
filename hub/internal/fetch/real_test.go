package fetch_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/dial"
	"github.com/navefleet/nave/hub/internal/fetch"
	"github.com/navefleet/nave/hub/internal/source/git"
	"github.com/navefleet/nave/hub/internal/store"
)

// real is a loop over a store on disk, a real fetcher and a real server.
type real struct {
	testing.TB
	store *store.Store
	repo  *gittest.Repository
}

func startReal(t testing.TB, o gittest.Options, changes ...func(*fetch.Config)) (*real, *gittest.Server) {
	t.Helper()
	server, err := gittest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	repo, err := server.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := store.Open(filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	config := fetch.Config{
		Store: rows, Artifacts: artifact.New(t.TempDir()), Fetcher: git.Fetcher{}, Log: slog.New(slog.DiscardHandler),
		Network: dial.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	for _, change := range changes {
		change(&config)
	}
	loop := fetch.New(config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- loop.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
		_ = server.Close()
	})
	return &real{TB: t, store: rows, repo: repo}, server
}

func (r *real) commit(text string) string {
	r.Helper()
	hash, err := r.repo.Commit(map[string]string{"a": text}, text)
	if err != nil {
		r.Fatal(err)
	}
	return "main@sha1:" + hash
}

// request asks for a reconciliation and waits until it is handled.
func (r *real) request(at string, options ...option) store.Condition {
	r.Helper()
	k := key("", "fleet")
	w := r.store.Watch(r.Context(), store.Conditions.Name())
	defer w.Close()
	err := r.store.Update(r.Context(), func(tx *store.Tx) error {
		return put(tx, k, append([]option{from(r.repo.URL()), every("1h"), requested(at)}, options...)...)
	})
	if err != nil {
		r.Fatal(err)
	}
	for {
		var o store.Condition
		err := r.store.View(r.Context(), func(tx *store.Tx) (err error) {
			o, _, err = store.Conditions.Get(tx, k.Path())
			return err
		})
		if err != nil {
			r.Fatal(err)
		}
		if o.HandledRequest == at {
			return o
		}
		select {
		case <-w.C():
			w.Take()
		case <-time.After(time.Minute):
			r.Fatalf("not handled within a minute: %+v", o)
		}
	}
}

func TestReconcile(t *testing.T) {
	r, server := startReal(t, gittest.Options{})
	for i := range 3 {
		want := r.commit(fmt.Sprint(i))
		if o := r.request(fmt.Sprint("push ", i)); o.Ready != "True" || o.Revision != want {
			t.Errorf("condition %+v, want %s", o, want)
		}
	}
	server.Break(gittest.Error)
	if o := r.request("while broken"); o.Ready != "False" || o.Revision == "" {
		t.Errorf("condition %+v", o)
	}
	server.Heal()
	want := r.commit("healed")
	if o := r.request("healed"); o.Ready != "True" || o.Revision != want {
		t.Errorf("condition %+v, want %s", o, want)
	}
}

func BenchmarkReconcile(b *testing.B) {
	r, _ := startReal(b, gittest.Options{})
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		r.commit(fmt.Sprint(n))
		b.StartTimer()
		r.request(fmt.Sprint(n))
	}
}
