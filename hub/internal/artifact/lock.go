package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Lock waits for the turn to use the cache of id. When a process dies, the kernel unlocks its files, and the next
// process has its turn. Errors are ErrStorage or that of ctx.
func (w Workspace) Lock(ctx context.Context, id string) (unlock func(), err error) {
	return w.lock(ctx, id, syscall.LOCK_EX)
}

// lockPut keeps what no artifact of id refers to from being removed. Several may hold it.
func (w Workspace) lockPut(ctx context.Context, id string) (unlock func(), err error) {
	return w.lock(ctx, id+".put", syscall.LOCK_SH)
}

// lockUnused locks out those who put artifacts of id. If there are some, lockUnused returns nil.
func (w Workspace) lockUnused(ctx context.Context, id string) (unlock func(), err error) {
	unlock, err = w.lock(ctx, id+".put", syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return unlock, err
}

// lock locks a file as flock(2) does.
func (w Workspace) lock(ctx context.Context, name string, how int) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(w.Dir, "locks", name), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, StorageError(err)
	}
	closeFile := func() { _ = file.Close() }
	locked := make(chan error, 1)
	go func() { locked <- flock(file, how) }()
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

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EINTR) {
			return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
		}
	}
}
