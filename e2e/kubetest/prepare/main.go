// Command prepare builds the test control plane if the cache has none yet, and prints where it is. The tests would
// build it too, but "go test" shows nobody their progress.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/navefleet/nave/e2e/kubetest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	path, err := kubetest.Binary(ctx, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prepare:", err)
		stop()
		os.Exit(1)
	}
	fmt.Println("test control plane:", path)
}
