package admin

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/identity"
)

// shares limits how many calls of one kind are served at the same time: max of all operators, and half of max of one
// operator, so that nobody can lock out the others.
type shares struct {
	max   int
	mu    sync.Mutex
	taken map[identity.ID]int
	freed chan struct{} // closed at the next give
}

func newShares(most int) *shares {
	return &shares{max: most, taken: map[identity.ID]int{}, freed: make(chan struct{})}
}

// ofOne returns how many shares one operator may have.
func (s *shares) ofOne() int { return s.max / 2 }

// take takes a share for an operator, who must give it back. If there is none, take returns a channel that is closed
// when it is worth another try.
func (s *shares) take(who identity.ID) (freed <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[who] >= s.ofOne() || s.all() >= s.max {
		return s.freed, false
	}
	s.taken[who]++
	return nil, true
}

// wait takes a share as soon as there is one. If ctx ends before, wait returns its error.
func (s *shares) wait(ctx context.Context, who identity.ID) error {
	for {
		freed, ok := s.take(who)
		if ok {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// give gives a share back.
func (s *shares) give(who identity.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[who]--; s.taken[who] == 0 {
		delete(s.taken, who)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}

// count returns how many shares are taken, and how many of them by an operator.
func (s *shares) count(who identity.ID) (all, own int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all(), s.taken[who]
}

// all returns how many shares are taken. The caller holds mu.
func (s *shares) all() (all int) {
	for _, n := range s.taken {
		all += n
	}
	return all
}

// accept takes a share for a stream, and sends its header: the caller knows then that the hub serves the stream,
// however long the first message takes. If there is no share, the error names the streams and the command that ends
// one.
func (s *shares) accept(stream grpc.ServerStream, who identity.ID, streams, command string) error {
	if err := s.claim(who, streams, command); err != nil {
		return err
	}
	err := stream.SendHeader(nil)
	if err != nil {
		s.give(who)
	}
	return err
}

// claim takes a share, or returns an error as accept does.
func (s *shares) claim(who identity.ID, streams, command string) error {
	if _, ok := s.take(who); ok {
		return nil
	}
	all, own := s.count(who)
	return status.Errorf(codes.ResourceExhausted, "the hub serves %d %s, %d of them of operator %s; it serves at most "+
		"%d, and %d of one operator: end one of them (%s), or try again later", all, streams, own, who.Name, s.max,
		s.ofOne(), command)
}

// inTurn calls serve for an operator as soon as there is a share. Both together may take some time, after which ctx
// ends. others says what has the shares.
func (s *Server) inTurn(ctx context.Context, of *shares, limit time.Duration, others string,
	serve func(context.Context, identity.ID) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	who, err := s.operator(ctx)
	if err != nil {
		return err
	}
	if of.wait(ctx, who) != nil {
		return status.Errorf(codes.ResourceExhausted, "other %s took too long: try again", others)
	}
	defer of.give(who)
	return serve(ctx, who)
}
