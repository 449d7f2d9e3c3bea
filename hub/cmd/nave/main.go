// Command nave is the operators' tool: it reads and changes what a hub knows, over the hub's admin API, and renders
// offline what the hub would.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"google.golang.org/grpc/status"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, end := program(os.Stdout, os.Stderr)
	if err := end(root.ExecuteContext(ctx)); err != nil {
		stop()
		os.Exit(1)
	}
}

// errReported ends a command with exit code 1 after the command has printed what is wrong.
var errReported = errors.New("something is wrong, as printed")

// message is an error as a person wants to read it: a gRPC status without its code's wrapping.
func message(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}
