// Command nave is the command line tool for operators: it reads and changes the objects of a hub over the hub's admin
// API, and builds Kustomizations offline as the hub does.
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

// errReported ends a command with exit code 1 after the command has printed the failures.
var errReported = errors.New("failures were printed")

// message returns the text of an error for people. Of a gRPC status it returns only the message.
func message(err error) string {
	var s interface{ GRPCStatus() *status.Status }
	if errors.As(err, &s) {
		return s.GRPCStatus().Message()
	}
	return err.Error()
}
