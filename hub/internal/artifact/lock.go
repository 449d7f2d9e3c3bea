package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Lock waits for the turn to use the cache of id, and to put artifacts of id. When a process dies, the kernel unlocks
// its files, and the next process has its turn. Errors are ErrStorage or that of ctx.
func (w Workspace) Lock(ctx context.Context, id string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(w.Dir, "locks", id), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, StorageError(err)
	}
	closeFile := func() { _ = file.Close() }
	locked := make(chan error, 1)
	go func() { locked <- flock(file) }()
	select {
	case err := <-locked:
		if err != nil {
			closeFile()
			return nil, StorageError(err)
		}
		return closeFile, nil
	case <-ctx.Done():
		go func() { <-locked; closeFile() }()
		return nil, ctx.Err()
	}
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
		}
	}
}
