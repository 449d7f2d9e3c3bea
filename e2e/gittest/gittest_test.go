package gittest_test

import (
	"os/exec"
	"testing"

	"github.com/navefleet/nave/e2e/gittest"
)

func start(t *testing.T, o gittest.Options) *gittest.Server {
	t.Helper()
	s, err := gittest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestClone(t *testing.T) {
	s := start(t, gittest.Options{})
	repo, err := s.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := repo.Commit(map[string]string{"apps/a.yaml": "a: 1\n"}, "one")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("git", "clone", "-q", repo.URL(), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil || string(out) != hash+"\n" {
		t.Fatalf("cloned %q, %v; want %s", out, err, hash)
	}
}

func TestHeal(t *testing.T) {
	s := start(t, gittest.Options{})
	repo, err := s.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	list := func() error { return exec.Command("git", "ls-remote", repo.URL()).Run() }
	for _, fault := range []gittest.Fault{gittest.Error, gittest.Drop} {
		s.Break(fault)
		if list() == nil {
			t.Errorf("fault %d: listed from a broken server", fault)
		}
		s.Heal()
		if err := list(); err != nil {
			t.Errorf("fault %d: after healing: %v", fault, err)
		}
	}
}

func TestPush(t *testing.T) {
	s := start(t, gittest.Options{Push: true})
	repo, err := s.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Commit(map[string]string{"a": "1"}, "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := repo.Git("push", "-q", repo.URL(), "HEAD:refs/heads/other"); err != nil {
		t.Fatal(err)
	}
}
