package artifact

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// lock waits until no other process has the lock file locked. When a process dies, the kernel unlocks its files.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
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
