package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/e2e/ocitest"
)

// startRegistry starts a registry with a password.
func startRegistry(t *testing.T) *ocitest.Server {
	t.Helper()
	server, err := ocitest.Start(ocitest.Options{Username: "robot", Password: "secret"})
	if errors.Is(err, ocitest.ErrNoRegistry) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return server
}

// naveOffline runs a command and returns its output.
func naveOffline(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd, end := program(&out, &messages)
	cmd.SetArgs(args)
	err := end(cmd.ExecuteContext(t.Context()))
	return out.String() + messages.String(), err
}

// mustRun runs a command that succeeds.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, err := naveOffline(t, args...)
	if err != nil {
		t.Fatalf("nave %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// tree writes files below a new folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestArtifact pushes, lists, tags, compares and pulls an artifact.
func TestArtifact(t *testing.T) {
	server := startRegistry(t)
	dir := tree(t, map[string]string{"a.yaml": "a", "sub/b.yaml": "b", "logo.png": "x", ".git/config": "x", "c.txt": "c",
		".sourceignore": "c.txt\n"})
	with := []string{"--creds=robot:secret", "--insecure-registry"}
	run := func(args ...string) string { return mustRun(t, append(args, with...)...) }
	url := server.URL("org/fleet")

	out := run("push", "artifact", url+":v1.0.0", "--path", dir, "--source=https://git.example.com/fleet",
		"--revision=main@sha1:1", "--annotations=team=blue", "--reproducible", "-o", "json")
	if !strings.Contains(out, `"tag": "v1.0.0"`) || !strings.Contains(out, `"digest": "sha256:`) {
		t.Errorf("push printed %s", out)
	}
	if out := run("push", "artifact", url, "--path", dir, "--source=s", "--revision=r"); !strings.Contains(out,
		"org/fleet:latest as ") {
		t.Errorf("push without a tag printed %s", out)
	}
	run("tag", "artifact", url+":v1.0.0", "--tag=latest", "--tag=v1.1.0")
	out = run("list", "artifacts", url, "--filter-semver=>=1.0.0")
	if lines := strings.Split(out, "\n"); len(lines) != 4 || !strings.Contains(lines[1], "v1.1.0 ") ||
		!strings.Contains(lines[2], "https://git.example.com/fleet   main@sha1:1") {
		t.Errorf("list printed %s", out)
	}
	if out = run("list", "artifacts", url, "--filter-regex=^l"); strings.Count(out, "\n") != 2 {
		t.Errorf("list printed %s", out)
	}
	if out = run("diff", "artifact", url+":latest", "--path", dir); out != "no changes\n" {
		t.Errorf("diff printed %s", out)
	}
	pulled := filepath.Join(t.TempDir(), "new")
	if out = run("pull", "artifact", url+":latest", "-o", pulled); !strings.Contains(out, "revision main@sha1:1") {
		t.Errorf("pull printed %s", out)
	}
	var names []string
	for _, name := range []string{"a.yaml", "sub/b.yaml", "logo.png", ".git/config", "c.txt"} {
		if _, err := os.Stat(filepath.Join(pulled, name)); err == nil {
			names = append(names, name)
		}
	}
	if got := strings.Join(names, " "); got != "a.yaml sub/b.yaml" {
		t.Errorf("pulled %s", got)
	}
	other := tree(t, map[string]string{"a.yaml": "other", "new.yaml": "new", ".sourceignore": "c.txt\n"})
	out, err := naveOffline(t, append([]string{"diff", "artifact", url + ":latest", "--path", other}, with...)...)
	want := "changed\ta.yaml\nadded\tnew.yaml\nremoved\tsub/b.yaml\n3 files different from " + url + ":latest\n"
	if err == nil || out != want {
		t.Errorf("diff printed %s, %v", out, err)
	}
}

// TestPushArtifact_reproducible pushes equal files at other times and with other modes.
func TestPushArtifact_reproducible(t *testing.T) {
	server := startRegistry(t)
	push := func(tag string, age time.Duration) string {
		dir := tree(t, map[string]string{"a.yaml": "a", "b/c.yaml": "c"})
		file := filepath.Join(dir, "a.yaml")
		if err := os.Chtimes(file, time.Now().Add(-age), time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		out := mustRun(t, "push", "artifact", server.URL("fleet:"+tag), "--path", dir, "--source=s", "--revision=r",
			"--reproducible", "--creds=robot:secret", "--insecure-registry")
		_, digest, _ := strings.Cut(out, "@")
		return digest
	}
	if one, other := push("a", 0), push("b", time.Hour); one != other || !strings.HasPrefix(one, "sha256:") {
		t.Errorf("got digests %s and %s", one, other)
	}
}

func TestArtifact_errors(t *testing.T) {
	server := startRegistry(t)
	dir := tree(t, map[string]string{"a.yaml": "a"})
	for name, c := range map[string]struct {
		args []string
		word string
	}{
		"scheme":      {[]string{"pull", "artifact", "ghcr.io/org/a:v1", "-o", dir}, "oci://host/path:tag"},
		"provider":    {[]string{"pull", "artifact", "oci://ghcr.io/a:v1", "-o", dir, "--provider=aws"}, "credential helper"},
		"no_path":     {[]string{"push", "artifact", server.URL("a:v1"), "--source=s", "--revision=r"}, "path"},
		"not_there":   {[]string{"build", "artifact", "--path", dir + "/none"}, "--path"},
		"digest":      {[]string{"push", "artifact", server.URL("a@sha256:" + strings.Repeat("0", 64)), "--path", dir, "--source=s", "--revision=r"}, "has a digest"},
		"annotation":  {[]string{"push", "artifact", server.URL("a:v1"), "--path", dir, "--source=s", "--revision=r", "-a", "x"}, "KEY=VALUE"},
		"refused":     {[]string{"list", "artifacts", server.URL("a"), "--insecure-registry", "--creds=robot:wrong"}, "UNAUTHORIZED"},
		"useless":     {[]string{"list", "artifacts", server.URL("a"), "--cluster=a"}, "--cluster does nothing here"},
		"expression":  {[]string{"list", "artifacts", server.URL("a"), "--filter-regex=("}, "UNAUTHORIZED"},
		"unknown_out": {[]string{"push", "artifact", server.URL("a:v1"), "--path", dir, "--source=s", "--revision=r", "-o", "xml"}, "json or yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, err := naveOffline(t, c.args...); err == nil || !strings.Contains(out+err.Error(), c.word) {
				t.Errorf("got %v: %s; want %q", err, out, c.word)
			}
		})
	}
}

// TestBuildArtifact_symlink packs a symlink to a folder, and refuses folders without files.
func TestBuildArtifact_symlink(t *testing.T) {
	dir, files := t.TempDir(), tree(t, map[string]string{"a.yaml": "a", ".sourceignore": "!a.yaml\n"})
	link, links := filepath.Join(dir, "link"), t.TempDir()
	err := errors.Join(os.Symlink(files, link),
		os.Symlink(filepath.Join(files, "a.yaml"), filepath.Join(links, "a.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	ignored := tree(t, map[string]string{"a.yaml": "a", ".sourceignore": "*\n"})
	output := filepath.Join(dir, "artifact.tgz")
	pack := func(path string) error {
		_, err := naveOffline(t, "build", "artifact", "--path", path, "--output", output)
		return err
	}
	if err := pack(link); err != nil {
		t.Fatal(err)
	}
	packed, err := os.Open(output)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	if sums, err := sumsOf(t.Context(), packed); err != nil || sums["a.yaml"] == "" {
		t.Errorf("packed %v, error %v", sums, err)
	}
	for name, path := range map[string]string{"empty": t.TempDir(), "ignored": ignored, "only_symlinks": links} {
		t.Run(name, func(t *testing.T) {
			if err := pack(path); err == nil || !strings.Contains(err.Error(), "there is no file to pack") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestUnpackArchive_hostile has archives that would write outside of the folder.
func TestUnpackArchive_hostile(t *testing.T) {
	outside := t.TempDir()
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../a", "/a", "b/../../a", "link/a"} {
		archive := ocitest.Pack(ocitest.Entry{Header: tar.Header{Name: name, Mode: 0o644, Size: 1}, Content: "a"})
		if _, err := unpackArchive(t.Context(), bytes.NewReader(archive), dir); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if found, err := os.ReadDir(outside); err != nil || len(found) > 0 {
		t.Errorf("outside of the folder is %v, %v", found, err)
	}
}

// TestBuildArtifact packs standard input.
func TestBuildArtifact(t *testing.T) {
	file := filepath.Join(t.TempDir(), "artifact.tgz")
	var out, messages bytes.Buffer
	cmd, _ := program(&out, &messages)
	cmd.SetIn(strings.NewReader("kind: ConfigMap"))
	cmd.SetArgs([]string{"build", "artifact", "--path", "-", "-o", file})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	dir := t.TempDir()
	if n, err := unpackArchive(t.Context(), archive, dir); err != nil || n != 1 {
		t.Fatalf("%d files, %v", n, err)
	}
}
