// Package faults_test is the fault matrix: a real hub, real spokes, real Kubernetes and real Git, with something
// between them or under them that fails. Each fault is a subtest of TestFaults, which
//
//  1. injects the fault,
//  2. pushes a commit,
//  3. waits for what must hold meanwhile: the commit arrives, or it is clearly refused and nothing is lost,
//  4. lifts the fault,
//  5. waits until hub and cluster are in sync, and
//  6. holds goroutines and resident memory of both daemons to what they were before.
//
// Faults run side by side, each with a spoke of its own, in a cluster that they share and, where the hub itself is
// well, with one hub. Run one with: go test ./e2e/faults -run TestFaults/NAME -v
package faults_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/navefleet/nave/e2e/harness"
)

// lab is what all faults share; nil with -short.
var lab *harness.Lab

func TestMain(m *testing.M) {
	flag.Parse()
	code := 1
	err := withLab(func() { code = m.Run() })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withLab(run func()) (err error) {
	if testing.Short() {
		run()
		return nil
	}
	// Faults wait most of the time, so more of them can run at once than there are CPUs.
	if err := flag.Set("test.parallel", "24"); err != nil {
		return err
	}
	if lab, err = harness.NewLab(context.Background(), harness.Options{Clusters: []string{"faults"}}); err != nil {
		return err
	}
	run()
	return lab.Close()
}
