package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock waits for its turn with the cache that a lock file stands for. Jobs of several processes use it; when one of
// them dies, the kernel gives its lock to the next.
func lock(ctx context.Context, name string) (unlock func(), err error) {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStorage, err)
	}
	free := func() { _ = file.Close() }
	locked := make(chan error, 1)
	go func() { locked <- flock(file) }()
	select {
	case err := <-locked:
		if err != nil {
			free()
			return nil, fmt.Errorf("%w: %w", ErrStorage, err)
		}
		return free, nil
	case <-ctx.Done():
		go func() { <-locked; free() }()
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
