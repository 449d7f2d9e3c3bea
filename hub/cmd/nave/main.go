// Command nave is the command line tool for operators: it reads and changes the objects of a hub over the hub's admin
// API, and builds Kustomizations offline as the hub does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
)

// endsWithin is how long a command may take to end after a signal. A build does not end by itself in the middle of the
// work of a library.
const endsWithin = 3 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		time.AfterFunc(endsWithin, func() { os.Exit(1) })
	})
	root, end := program(os.Stdout, os.Stderr)
	if err := end(root.ExecuteContext(ctx)); err != nil {
		stop()
		os.Exit(exitCode(err))
	}
}

// errReported ends a command with exit code 1 after the command has printed the failures.
var errReported = errors.New("failures were printed")

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

// Unwrap returns the error.
func (e exitError) Unwrap() error { return e.error }

// errorsExit2 makes each error of a command and its subcommands end with exit code 2. Exit code 1 stays for what the
// command finds: errDifferent and errReported.
func errorsExit2(cmd *cobra.Command) *cobra.Command {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error { return withExit2(run(cmd, args)) }
	}
	for _, below := range cmd.Commands() {
		errorsExit2(below)
	}
	return cmd
}

// usageError returns an error about a wrong command line.
func usageError(format string, args ...any) error { return withExit2(fmt.Errorf(format, args...)) }

// withExit2 makes an error that of a wrong command line.
func withExit2(err error) error {
	if err == nil || errors.Is(err, errDifferent) || errors.Is(err, errReported) {
		return err
	}
	return exitError{err, 2}
}

// joined returns all errors as one, with each text once and the exit code of the first. Unlike errors.Join, it keeps
// the texts of all calls that failed: message returns that of the first status.
func joined(errs []error) (first error) {
	var texts []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		if first == nil {
			first = err
		}
		if text := message(err); !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	if len(texts) < 2 {
		return first
	}
	return exitError{errors.New(strings.Join(texts, "\n")), exitCode(first)}
}

// exitCode returns the exit code of the program: 1 for an error without a code of its own.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	if statusOf(err).Code() == codes.NotFound {
		return notFound
	}
	return 1
}
