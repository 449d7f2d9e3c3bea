// Command nave is the command line tool for operators: it reads and changes the objects of a hub over the hub's admin
// API, and builds Kustomizations offline as the hub does.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// endsWithin is how long a command may take to end after a signal. A build does not end by itself in the middle of the
// work of a library.
const endsWithin = 3 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the process at once
		time.Sleep(endsWithin)
		os.Exit(1)
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

// errorsExit2 makes each error of a command and its subcommands, also about flags and arguments, end with exit code 2.
// Exit code 1 stays for what the command finds: errDifferent and errReported.
func errorsExit2(cmd *cobra.Command) *cobra.Command {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withExit2(err) })
	for _, run := range []*func(*cobra.Command, []string) error{&cmd.PersistentPreRunE, &cmd.RunE} {
		if do := *run; do != nil {
			*run = func(cmd *cobra.Command, args []string) error { return withExit2(do(cmd, args)) }
		}
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error { return withExit2(check(cmd, args)) }
	}
	for _, below := range cmd.Commands() {
		errorsExit2(below)
	}
	return cmd
}

func withExit2(err error) error {
	if err == nil || errors.Is(err, errDifferent) || errors.Is(err, errReported) {
		return err
	}
	return exitError{err, 2}
}

// exitCode returns the exit code of the program.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[exitError](err); ok {
		return e.code
	}
	return 1
}
