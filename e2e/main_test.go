// Package e2e_test tells Nave's promises as stories: scripts in testdata that run the built hub, spokes and CLI against
// real Kubernetes clusters and a real git server. Where a script cannot play the other side, a scripted hub does.
//
// Clusters are started once. Each story has a hub, a repository and spokes of its own, and namespaces that no other
// story uses. Run one with: go test ./e2e -run TestStories/NAME -v
package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/navefleet/nave/e2e/harness"
)

// lab is what all stories share; nil with -short.
var lab *harness.Lab

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		os.Exit(m.Run())
	}
	code, err := withLab(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withLab(run func() int) (code int, err error) {
	if lab, err = harness.NewLab(context.Background(), harness.Options{Clusters: []string{"east", "west"}}); err != nil {
		return 1, err
	}
	defer func() {
		if closeErr := lab.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := learnBaseline(context.Background()); err != nil {
		return 1, err
	}
	return run(), nil
}

// needsLab skips a test that has no clusters.
func needsLab(t *testing.T) {
	t.Helper()
	if lab == nil {
		t.Skip("needs Kubernetes; leave out -short")
	}
}
