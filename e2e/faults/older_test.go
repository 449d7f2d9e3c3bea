package faults_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

// older is the commit whose programs are the older ones: the last that speaks protocol 1 of the wire.
const older = "de235d86e9fa4662a8ba0ad13e0a892648c5290c"

// programs are those that users run.
var programs = []string{"nave", "nave-hub", "nave-spoke"}

// testOlder runs an older spoke with the hub of today, and a spoke of today with an older hub. Either is then brought
// to the version of the other, in place, with what it has on its disk.
func testOlder(t *testing.T) {
	t.Parallel()
	bin := buildOlder(t, older)
	t.Run("spoke", func(t *testing.T) {
		t.Parallel()
		l := mixedLab(t)
		use(t, l, bin, "nave-spoke")
		s := newStand(t, l, t.TempDir())
		p := s.join(t, "older-spoke", nil)
		p.commitAndHold(t, "older spoke, hub of today", func() {})
		p.commitAndHold(t, "both of today", func() { p.replace(t, l, p.Process, "nave-spoke") })
	})
	t.Run("hub", func(t *testing.T) {
		t.Parallel()
		l := mixedLab(t)
		use(t, l, bin, programs...)
		s := newStand(t, l, t.TempDir())
		p := s.join(t, "older-hub", nil)
		p.commitAndHold(t, "spoke of today, older hub", func() { p.replace(t, l, p.Process, "nave-spoke") })
		p.commitAndHold(t, "both of today", func() {
			p.replace(t, l, s.Hub, "nave-hub")
			use(t, l, lab.Dir+"/bin", "nave")
		})
	})
}

// commitAndHold changes the programs that run, and then commits: the commit arrives, and what it does not touch stays
// as it is.
func (p *spoke) commitAndHold(t *testing.T, value string, change func()) {
	t.Helper()
	bystander := p.version("bystander")
	change()
	before, hub := settled(t, p.Process), settled(t, p.stand.Hub)
	p.push(value, nil)
	p.arrives(value)
	p.inSync()
	backAt(t, p.Process, before)
	backAt(t, p.stand.Hub, hub)
	if now := p.version("bystander"); now != bystander {
		t.Errorf("%s: an object that no commit touched was written: it was %s, now it is %s", value, bystander, now)
	}
}

// replace ends a daemon and starts it again as the program of today.
func (p *spoke) replace(t *testing.T, l *harness.Lab, daemon *harness.Process, program string) {
	t.Helper()
	must(t, daemon.Stop())
	use(t, l, filepath.Join(lab.Dir, "bin"), program)
	must(t, daemon.Start(t.Context()))
	p.inSync()
}

// mixedLab is a lab whose programs are those of today, until use says otherwise.
func mixedLab(t *testing.T) *harness.Lab {
	t.Helper()
	l := *lab
	l.Dir = t.TempDir()
	l.Binaries = filepath.Join(l.Dir, "bin")
	must(t, os.Mkdir(l.Binaries, 0o755))
	use(t, &l, filepath.Join(lab.Dir, "bin"), programs...)
	return &l
}

// use makes programs of a lab those of a folder.
func use(t *testing.T, l *harness.Lab, bin string, names ...string) {
	t.Helper()
	for _, name := range names {
		link := l.Binary(name)
		if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		must(t, os.Symlink(filepath.Join(bin, name), link))
	}
}

// buildOlder returns the folder with the programs of a commit, which stays in the user's cache. A checkout without its
// history has none; in CI that is an error.
func buildOlder(t *testing.T, commit string) (bin string) {
	t.Helper()
	root, err := kubetest.Root()
	must(t, err)
	if out, err := exec.Command("git", "-C", root, "cat-file", "-e", commit+"^{commit}").CombinedOutput(); err != nil {
		missing := fmt.Sprintf("commit %s is not in this clone, so there are no older programs to run; fetch the whole "+
			"history: %s", commit, out)
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	cache, err := os.UserCacheDir()
	must(t, err)
	dir := filepath.Join(cache, "nave", "older", commit)
	must(t, os.MkdirAll(dir, 0o755))
	lock, err := os.Create(filepath.Join(dir, "lock"))
	must(t, err)
	defer lock.Close()
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)) // other checkouts use the same cache
	bin = filepath.Join(dir, "bin")
	if _, err := os.Stat(bin); err != nil {
		must(t, buildAt(t.Context(), root, commit, t.TempDir(), bin))
	}
	return bin
}

// buildAt takes the sources of a commit out of a repository and builds their programs.
func buildAt(ctx context.Context, root, commit, sources, bin string) error {
	script := `git -C "$1" archive "$2" | tar -x -C "$3" && cd "$3" && ` +
		`go build -trimpath -tags grpcnotrace -ldflags '-s -w' -o "$4.new/" ` +
		`./hub/cmd/nave ./hub/cmd/nave-hub ./spoke/cmd/nave-spoke && mv "$4.new" "$4"`
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "build", root, commit, sources, bin)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs of %s: %w\n%s", commit, err, strings.TrimSpace(string(out)))
	}
	return nil
}
