package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/navefleet/nave/hub/internal/backup"
	"github.com/navefleet/nave/hub/internal/store"
	"github.com/navefleet/nave/shared/telemetry"
	"github.com/navefleet/nave/shared/version"
)

// listenForBackups makes the socket of backups. A hub whose disk has no sockets runs without: then a backup needs the
// hub to be stopped.
func (h *Hub) listenForBackups() {
	l, err := backup.Listen(h.config.DataDir)
	if err != nil {
		h.config.Log.Warn("nave-hub backup works only while this hub is stopped", telemetry.Err(err))
		return
	}
	h.backups = l
}

func (h *Hub) serveBackups(ctx context.Context) {
	if h.backups == nil {
		return
	}
	defer context.AfterFunc(ctx, func() { _ = h.backups.Close() })()
	backup.Serve(ctx, h.backups, h.store, func() backup.Options {
		return backupOptions(h.config.DataDir, false, h.config.Now())
	}, func(err error) { h.config.Log.Warn("a backup failed", telemetry.Err(err)) })
}

func backupOptions(dataDir string, withoutKeys bool, now time.Time) backup.Options {
	number, _ := version.Build()
	return backup.Options{Folder: dataDir, Version: number, WithoutKeys: withoutKeys, Now: now}
}

// Backup writes an archive of a data folder, whether a hub runs on it or not, and returns its manifest. Without keys it
// has the store alone. If ctx ends, Backup returns, even if to blocks. Errors: that of ctx, store.ErrLocked (a hub that
// makes no backups has the folder), and those of files.
func Backup(ctx context.Context, dataDir string, withoutKeys bool, to io.Writer) (backup.Manifest, error) {
	archive, err := backup.Dial(ctx, dataDir, withoutKeys)
	if errors.Is(err, backup.ErrNoHub) {
		archive, err = stoppedBackup(ctx, dataDir, withoutKeys)
	}
	if err != nil {
		return backup.Manifest{}, fmt.Errorf("back up %s: %w", dataDir, err)
	}
	defer archive.Close()
	var m backup.Manifest
	copied := make(chan error, 1)
	go func() {
		var err error
		m, err = backup.Copy(to, archive)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done(): // whoever reads what is written may have stopped
		return backup.Manifest{}, fmt.Errorf("back up %s: %w", dataDir, context.Cause(ctx))
	}
	if err != nil {
		return m, fmt.Errorf("back up %s: %w", dataDir, err)
	}
	return m, nil
}

// stoppedBackup returns an archive of a data folder that no hub has.
func stoppedBackup(ctx context.Context, dataDir string, withoutKeys bool) (io.ReadCloser, error) {
	path := filepath.Join(dataDir, backup.Database)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no store in it: name the data folder of the hub with --data-dir")
	} else if err != nil {
		return nil, err
	}
	s, err := store.Open(path)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	go func() {
		err := backup.Write(ctx, w, s, backupOptions(dataDir, withoutKeys, time.Now()))
		w.CloseWithError(errors.Join(err, s.Close()))
	}()
	return r, nil
}

// Restore makes a data folder of an archive: backup.Restore. It opens the store once, so that a store of a newer hub or
// a damaged one is refused before anything is in its place. If ctx ends while the archive is read, even if that blocks,
// nothing is left.
func Restore(ctx context.Context, archive io.Reader, dataDir, keys string) (backup.Manifest, error) {
	r, w := io.Pipe()
	defer r.Close()
	defer context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })()
	go func() {
		_, err := io.Copy(w, archive)
		w.CloseWithError(err)
	}()
	m, err := backup.Restore(r, dataDir, keys, func(database string) error {
		s, err := store.Open(database)
		if err != nil {
			return err
		}
		return s.Close()
	})
	if err != nil {
		return m, fmt.Errorf("restore into %s: %w", dataDir, err)
	}
	return m, nil
}
