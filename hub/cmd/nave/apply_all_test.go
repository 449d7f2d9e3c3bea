package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	"github.com/navefleet/nave/hub/api"
)

// manyOfTest returns sources and the Clusters and the Fleet that need them, more than one message of the hub holds.
// NAVE_TEST_OBJECTS is how many, if not 1,050.
func manyOfTest(t *testing.T) (text string, count int) {
	t.Helper()
	count = 1050
	if n, err := strconv.Atoi(os.Getenv("NAVE_TEST_OBJECTS")); err == nil {
		count = n
	}
	var all strings.Builder
	all.WriteString("apiVersion: fleet.nave.io/v1alpha1\nkind: Fleet\nmetadata: {name: all}\nspec: {clusterSelector: " +
		"{matchLabels: {env: none}}, template: {spec: {interval: 10m, path: ., prune: true, sourceRef: " +
		"{kind: GitRepository, name: repository-0}}}}\n")
	for i := range count - 1 {
		if i%10 == 0 {
			fmt.Fprintf(&all, "---\napiVersion: fleet.nave.io/v1alpha1\nkind: Cluster\nmetadata: {name: cluster-%d}\n", i)
			continue
		}
		fmt.Fprintf(&all, "---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata:\n"+
			"  name: repository-%d\n  namespace: flux-system\n  annotations: {about: %q}\nspec: {interval: 10m, "+
			"suspend: true, url: \"https://git.example.com/repository-%d\"}\n", i, strings.Repeat("x", 1000), i)
	}
	if all.Len() < maxRequest {
		t.Fatalf("%d bytes: one message holds them", all.Len())
	}
	return all.String(), count
}

// TestApplyAll puts what nave export prints of a hub back into a fresh one, and deletes it there, although one message
// does not hold it.
func TestApplyAll(t *testing.T) {
	text, count := manyOfTest(t)
	file := filepath.Join(t.TempDir(), "all.yaml")
	first, _ := runHub(t, hub.Config{DataDir: t.TempDir()}, t.TempDir(), "")
	second, _ := runHub(t, hub.Config{DataDir: t.TempDir()}, t.TempDir(), "")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(config, word string, args ...string) {
		t.Helper()
		begin := time.Now()
		out, code := exitOf(t.Context(), config, args...)
		if n := strings.Count(out, word+"\n"); code != 0 || n != count {
			t.Fatalf("nave %v ends with %d, and says %q of %d: %.1000s", args, code, word, n, out)
		}
		t.Logf("nave %s of %d objects in %s", args[0], count, time.Since(begin))
	}
	put(text)
	run(first, " created (dry run)", "apply", "-f", file, "--dry-run")
	run(first, " created", "apply", "-f", file)
	begin := time.Now()
	exported := mustRun(t, "export", "all", "--config="+first)
	t.Logf("nave export of %d KiB in %s", len(exported)>>10, time.Since(begin))
	put(exported)
	run(second, " created", "apply", "-f", file)
	run(second, " unchanged", "apply", "-f", file)
	list := mustRun(t, "get", "gitrepositories", "-A", "-o", "yaml", "--config="+second) // one document
	if len(list) < maxRequest {
		t.Fatalf("the list has %d bytes: one message holds them", len(list))
	}
	put(list)
	if out, code := exitOf(t.Context(), second, "apply", "-f", file); code != 0 || strings.Contains(out, "configured") {
		t.Errorf("apply of a List ends with %d: %.1000s", code, out)
	}
	put(exported)
	run(second, " deleted", "delete", "-f", file, "--yes")
	if out, code := exitOf(t.Context(), second, "delete", "-f", file, "--yes"); code != notFound ||
		strings.Count(out, "not found") != count {
		t.Errorf("delete again ends with %d: %.1000s", code, out)
	}
}

// TestApplyAll_refused applies more than one message holds, with faults in several parts: all are named with their
// places, and nothing is changed.
func TestApplyAll_refused(t *testing.T) {
	text, _ := manyOfTest(t)
	documents := strings.Split(text, "---\n")
	last := len(documents) - 1
	documents[2] = strings.Replace(documents[2], "interval:", "intervall:", 1)
	documents[last] = documents[0]
	joined := strings.Join(documents, "---\n")
	line := func(n int) int { return 1 + strings.Count(strings.Join(documents[:n], "---\n"), "\n") + 1 }
	file := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(file, []byte(joined+"---\nkind: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, _ := runHub(t, hub.Config{DataDir: t.TempDir()}, t.TempDir(), "")
	out, code := exitOf(t.Context(), config, "apply", "-f", file)
	for _, want := range []string{
		fmt.Sprintf("%s:%d (document 3): GitRepository flux-system/repository-1: spec.intervall:", file, line(2)+6),
		fmt.Sprintf("%s:%d (document %d): Fleet all is given twice, also at %s:1", file, line(last), last+1, file),
		fmt.Sprintf("%s:%d (document %d): did not find expected node content", file, line(last+1), last+2),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("without %q:\n%s", want, out)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	if out, _ := exitOf(t.Context(), config, "get", "clusters"); !strings.Contains(out, "No clusters found") {
		t.Errorf("something was applied:\n%.1000s", out)
	}
}

// TestApplyRequests_large names each object that is larger than the hub reads, also an item of a List.
func TestApplyRequests_large(t *testing.T) {
	large := strings.Repeat("x", maxRequest)
	object := "apiVersion: v1\nkind: Secret\nmetadata: {name: NAME}\nstringData: {a: " + large + "}\n"
	list := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: small}\n" +
		"- {apiVersion: v1, kind: Secret, metadata: {name: item}, stringData: {a: " + large + "}}\n"
	text := "# first\n---\n" + strings.Replace(object, "NAME", "one", 1) + "---\n" + list
	_, err := applyRequests([]api.File{{Name: "a.yaml", Data: []byte(text)}})
	want := "a.yaml:3: Secret one has 1024 KiB: the hub reads objects of at most 1008 KiB\n" +
		"a.yaml:14 (document 2): Secret item has 1024 KiB: the hub reads objects of at most 1008 KiB"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
