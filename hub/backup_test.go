package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/internal/store"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// TestBackup backs a hub up while it takes in Clusters, and starts another one from the archive: it has a first part of
// them, none half, and knows the operators of the first.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	r := start(t, dir)
	client := r.admin()
	add := func(n int) error {
		_, err := client.Apply(context.Background(), &adminv1.ApplyRequest{
			Manifest: []byte(strings.Replace(cluster, "name: a", fmt.Sprintf("name: c%03d", n), 1))})
		return err
	}
	must(t, add(0))
	ctx, stop := context.WithCancel(t.Context())
	all, added := 1, make(chan error)
	go func() {
		var err error
		for ; err == nil && ctx.Err() == nil; all++ {
			err = add(all)
		}
		added <- err
	}()
	var archives []*bytes.Buffer
	for range 5 {
		archive := &bytes.Buffer{}
		m, err := hub.Backup(t.Context(), dir, false, archive)
		must(t, err)
		if len(m.Files) < 6 || len(m.Needs()) > 0 {
			t.Errorf("the archive has %+v", m.Files)
		}
		archives = append(archives, archive)
	}
	stop()
	must(t, <-added)
	for i, archive := range archives {
		restored := filepath.Join(t.TempDir(), "restored")
		_, err := hub.Restore(t.Context(), archive, restored, "")
		must(t, err)
		second := start(t, restored)
		second.operator = r.operator // the certificate of the first
		answer, err := second.admin().List(t.Context(), &adminv1.ListRequest{Kind: "Cluster", Limit: 1000})
		must(t, err)
		for n, o := range answer.Objects {
			if want := fmt.Sprintf("c%03d", n); o.GetKey().GetName() != want {
				t.Fatalf("archive %d has %s in place of %s", i, o.GetKey().GetName(), want)
			}
		}
		if len(answer.Objects) == 0 || len(answer.Objects) > all {
			t.Errorf("archive %d has %d Clusters of %d", i, len(answer.Objects), all)
		}
		must(t, second.stop())
	}
}

// TestBackup_stopped backs up a folder that no hub has, and names the keys that the archive does not have.
func TestBackup_stopped(t *testing.T) {
	dir := t.TempDir()
	must(t, start(t, dir).stop())
	archive := &bytes.Buffer{}
	m, err := hub.Backup(t.Context(), dir, true, archive)
	must(t, err)
	if got, want := strings.Join(m.Needs(), " "), "ca/ca.crt ca/ca.key operator.yaml signing.key vault.key"; got != want {
		t.Errorf("it needs %s, want %s", got, want)
	}
	to := t.TempDir()
	if _, err := hub.Restore(t.Context(), bytes.NewReader(archive.Bytes()), to, ""); err == nil ||
		!strings.Contains(err.Error(), "the backup needs signing.key") {
		t.Errorf("restored without keys: %v", err)
	}
	_, err = hub.Restore(t.Context(), archive, to, dir)
	must(t, err)
	must(t, start(t, to).stop())
}

// TestBackup_refused says why there is no backup, and no restore.
func TestBackup_refused(t *testing.T) {
	if _, err := hub.Backup(t.Context(), t.TempDir(), false, &bytes.Buffer{}); err == nil ||
		!strings.Contains(err.Error(), "there is no store in it") {
		t.Errorf("of an empty folder: %v", err)
	}
	dir := t.TempDir()
	r := start(t, dir)
	archive := &bytes.Buffer{}
	_, err := hub.Backup(t.Context(), dir, false, archive)
	must(t, err)
	_, err = hub.Restore(t.Context(), archive, dir, "")
	if err == nil || !strings.Contains(err.Error(), "has a store already") {
		t.Errorf("restored over a hub: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, "backup.sock"))) // as a hub of an older version has none
	if _, err := hub.Backup(t.Context(), dir, false, archive); !errors.Is(err, store.ErrLocked) {
		t.Errorf("of a hub without the socket: %v", err)
	}
	must(t, r.stop())
}

// TestBackup_interrupted ends a backup whose reader stops, and a restore whose writer stops, with the context.
func TestBackup_interrupted(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	must(t, start(t, dir).stop())
	first := []byte{0}
	for name, c := range map[string]struct {
		run   func(context.Context, *io.PipeReader, *io.PipeWriter) error
		begin func(*io.PipeReader, *io.PipeWriter) (int, error)
	}{
		"backup": {func(ctx context.Context, _ *io.PipeReader, w *io.PipeWriter) error {
			_, err := hub.Backup(ctx, dir, false, w)
			return err
		}, func(r *io.PipeReader, _ *io.PipeWriter) (int, error) { return r.Read(first) }},
		"restore": {func(ctx context.Context, r *io.PipeReader, _ *io.PipeWriter) error {
			_, err := hub.Restore(ctx, r, to, "")
			return err
		}, func(_ *io.PipeReader, w *io.PipeWriter) (int, error) { return w.Write(first) }},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := io.Pipe()
			defer w.Close()
			defer r.Close()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- c.run(ctx, r, w) }()
			_, err := c.begin(r, w)
			must(t, err)
			stop()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
	if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
		t.Errorf("%v: left %v", err, left)
	}
}
