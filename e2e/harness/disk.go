package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Disk is a small file system that is mounted at a folder.
type Disk struct{ dir string }

// CanMount reports whether this process may make a Disk: only root may, and not in every container.
func CanMount() bool {
	if os.Geteuid() != 0 {
		return false
	}
	dir, err := os.MkdirTemp("", "nave-disk-")
	if err != nil {
		return false
	}
	defer os.Remove(dir)
	d, err := MountDisk(dir, "1m")
	return err == nil && d.Unmount() == nil
}

// MountDisk mounts a disk of a size ("48M") at a folder. If the folder is missing, MountDisk makes it.
func MountDisk(dir, size string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		return nil, fmt.Errorf("mount a small disk at %s: %w", dir, err)
	}
	return &Disk{dir}, nil
}

// filler is the file that fills a disk.
const filler = "filler"

// Fill writes a file until the disk is full.
func (d *Disk) Fill() error {
	f, err := os.Create(filepath.Join(d.dir, filler))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2 // less space is left
		} else if err != nil {
			return err
		}
	}
	return nil
}

// Free removes the file that Fill wrote.
func (d *Disk) Free() error { return os.Remove(filepath.Join(d.dir, filler)) }

// Unmount removes the disk and all its files.
func (d *Disk) Unmount() error { return syscall.Unmount(d.dir, syscall.MNT_DETACH) }
