package kubetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

const kubernetesVersion = "v1.37.2"

// Binary returns the path of the control plane's binary, and builds it if the cache has none for these sources. The
// first build takes some ten minutes on two cores; Binary writes to progress every half minute. If several processes
// ask at once, one builds and the others wait.
func Binary(ctx context.Context, progress io.Writer) (string, error) {
	return Cached("controlplane", "controlplane", func(module, binary string) error {
		return build(ctx, module, binary, progress)
	})
}

// Cached returns the path of what a module of the checkout, a folder of e2e, gives under a name. If the user's cache
// does not have it for these sources, fill makes it: from the module's folder, at a path that does not exist. If
// several processes ask at once, one makes it and the others wait.
func Cached(module, name string, fill func(module, path string) error) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	source := filepath.Join(root, "e2e", module)
	key, err := sourceKey(source)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "nave", module, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := errors.Join(os.RemoveAll(path+".new"), fill(source, path+".new")); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// Root returns the folder of the checkout: the nearest one upwards that holds e2e/controlplane.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "controlplane", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not inside a checkout of nave: no folder upwards has e2e/controlplane")
		}
	}
}

// sourceKey returns a hash of everything that a module gives: its sources, its modules, and the version of Go.
func sourceKey(module string) (string, error) {
	files, err := filepath.Glob(filepath.Join(module, "*.go"))
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH)
	for _, file := range append(files, filepath.Join(module, "go.sum"), filepath.Join(module, "go.mod")) {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", filepath.Base(file), len(b), b)
	}
	return hex.EncodeToString(h.Sum(nil))[:24], nil
}

func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

func build(ctx context.Context, module, binary string, progress io.Writer) error {
	fmt.Fprintln(progress, "building the test control plane (Kubernetes "+kubernetesVersion+"); the first time takes "+
		"about ten minutes on two cores")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go tell(ctx, progress, time.Now())
	const version = "k8s.io/component-base/version."
	ldflags := fmt.Sprintf("-s -w -X %sgitVersion=%s -X %sgitMajor=1 -X %sgitMinor=37", version, kubernetesVersion,
		version, version)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", ldflags, "-o", binary, ".")
	cmd.Dir = module
	// CGO would put a C compiler among the requirements; -race of the caller must not leak into this build.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", module, err, out)
	}
	return nil
}

// tell writes every half minute how long the build has taken, so that nobody thinks that it hangs.
func tell(ctx context.Context, progress io.Writer, start time.Time) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(progress, "… still building the test control plane, %s\n", time.Since(start).Round(time.Second))
		case <-ctx.Done():
			return
		}
	}
}
