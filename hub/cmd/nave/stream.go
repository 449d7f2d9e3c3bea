package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

// pings find out that a hub is gone which does not end its connections: a frozen one, or one behind a broken line. The
// hub allows a ping every 20 seconds.
var pings = keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}

// openStream opens a stream whose errors name the hub. If the hub sends no header within --timeout, the stream ends:
// the hub sends it when it has accepted the call, although the first message may come much later. A stream whose caller
// reads no error keeps its resources until ctx ends. A stream of requests ends after --timeout, as a call does.
func (s *session) openStream(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	var cancel context.CancelFunc
	if d.ClientStreams {
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
	} else {
		ctx, cancel = context.WithCancel(ctx)
	}
	stream, err := open(ctx, d, conn, method, options...)
	if err != nil {
		cancel()
		return nil, s.named(err)
	}
	return &hubStream{ClientStream: stream, session: s, cancel: cancel, accepted: d.ClientStreams}, nil
}

// hubStream is a stream of the hub.
type hubStream struct {
	grpc.ClientStream
	session  *session
	cancel   func()
	accepted bool // the hub sent its header, or is not expected to before it has read all
}

// RecvMsg implements grpc.ClientStream.
func (h *hubStream) RecvMsg(m any) error {
	err := h.accept()
	if err == nil {
		err = h.ClientStream.RecvMsg(m)
	}
	if err != nil {
		h.cancel() // else a command that opens streams again and again would keep the context of each
	}
	return h.session.named(err)
}

// accept waits for the header.
func (h *hubStream) accept() error {
	if h.accepted {
		return nil
	}
	timer := time.AfterFunc(h.session.timeout, h.cancel)
	_, _ = h.Header() // RecvMsg returns the error
	if h.accepted = timer.Stop(); !h.accepted {
		return status.Errorf(codes.DeadlineExceeded, "no answer in %s", h.session.timeout)
	}
	return nil
}
