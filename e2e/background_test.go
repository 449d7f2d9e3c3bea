package e2e_test

import (
	"context"
	"errors"
	"fmt"
)

var backgroundCommands = map[string]command{
	"begin":  begin,  // begin NAME nave ARG…: the story goes on meanwhile
	"finish": finish, // finish NAME: waits until that has ended, and fails if it failed
}

// begun is a nave that runs while the story goes on.
type begun struct {
	ended          chan struct{} // closed at its end, after the following are set
	stdout, stderr string
	err            error
}

func begin(_ context.Context, s *story, args []string) error {
	switch {
	case len(args) < 3 || args[1] != "nave":
		return errors.New("begin NAME nave ARG…")
	case s.fleet == nil:
		return errNoHub
	case s.begun[args[0]] != nil:
		return fmt.Errorf("%s began already", args[0])
	}
	ctx, cancel := context.WithCancel(context.Background())
	b, fleet, line := &begun{ended: make(chan struct{})}, s.fleet, s.absolute(args[2:])
	go func() {
		defer close(b.ended)
		b.stdout, b.stderr, b.err = fleet.RunNave(ctx, nil, line...)
	}()
	s.cleanups = append(s.cleanups, func() error { cancel(); <-b.ended; return nil })
	s.begun[args[0]] = b
	return nil
}

func finish(ctx context.Context, s *story, args []string) error {
	if len(args) != 1 || s.begun[args[0]] == nil {
		return errors.New("finish NAME, after begin NAME")
	}
	b := s.begun[args[0]]
	delete(s.begun, args[0])
	select {
	case <-b.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", args[0], ctx.Err())
	}
	s.printed = true
	s.stdout.WriteString(b.stdout)
	s.stderr.WriteString(b.stderr)
	s.said.WriteString(b.stdout + b.stderr)
	return b.err
}
