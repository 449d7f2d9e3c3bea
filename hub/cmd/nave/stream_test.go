package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/navefleet/nave/hub/operatorconfig"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// muteHub takes each stream, and sends nothing on it for some time, or at all.
type muteHub struct {
	adminv1.UnimplementedAdminServiceServer
	accepts bool          // it sends the header
	first   time.Duration // then the first message comes after that; 0: never
}

func (h muteHub) Watch(_ *adminv1.WatchRequest, stream grpc.ServerStreamingServer[adminv1.WatchResponse]) error {
	return h.speak(stream, func() error { return stream.Send(changeOf("late", "True")) })
}

func (h muteHub) Logs(_ *adminv1.LogsRequest, stream grpc.ServerStreamingServer[adminv1.LogsResponse]) error {
	return h.speak(stream, func() error {
		return stream.Send(&adminv1.LogsResponse{Records: []*adminv1.LogRecord{{Message: "late"}}})
	})
}

func (h muteHub) speak(stream grpc.ServerStream, send func() error) error {
	if h.accepts {
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
	}
	if h.first > 0 {
		time.Sleep(h.first)
		return send()
	}
	<-stream.Context().Done()
	return nil
}

// TestStream_mute gives a stream that the hub does not serve up after --timeout, and none that has nothing to say.
func TestStream_mute(t *testing.T) {
	for name, c := range map[string]struct {
		hub  muteHub
		code int
		want string
	}{
		"mute":  {muteHub{}, 1, "did not answer in time"},
		"quiet": {muteHub{accepts: true, first: 6 * time.Second}, 0, "late"},
	} {
		for _, args := range []string{"get ks -w -o name", "logs -f"} {
			t.Run(name+" "+args, func(t *testing.T) {
				t.Parallel()
				out, code := exitOf(t.Context(), serve(t, c.hub), append(strings.Fields(args), "--timeout=5s")...)
				if code != c.code || !strings.Contains(out, c.want) || (code == 1) != strings.Contains(out, "no answer in 5s") {
					t.Errorf("exit code %d:\n%s", code, out)
				}
			})
		}
	}
}

// closedStream is a stream that the hub has ended.
type closedStream struct{ grpc.ClientStream }

func (closedStream) Header() (metadata.MD, error) { return nil, nil }
func (closedStream) RecvMsg(any) error            { return io.EOF }

// TestStream_ended leaves nothing of a stream behind that the hub ended: a wait opens one after the other.
func TestStream_ended(t *testing.T) {
	var opened context.Context
	open := func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ ...grpc.CallOption) (
		grpc.ClientStream, error) {
		opened = ctx
		return closedStream{}, nil
	}
	s := &session{timeout: time.Minute}
	stream, err := s.openStream(t.Context(), &grpc.StreamDesc{}, nil, "", open)
	if err != nil || opened.Err() != nil {
		t.Fatal(err, opened.Err())
	}
	if err := stream.RecvMsg(nil); !errors.Is(err, io.EOF) || opened.Err() == nil {
		t.Errorf("error %v; the context of the stream has %v, want it to be over", err, opened.Err())
	}
}

// line is a connection to a hub on which no bytes pass any more when it is cut, and which nobody ends.
type line struct {
	net.Listener
	hub string
	cut atomic.Bool
}

func (l *line) serve() {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.hub)
		if err != nil {
			return
		}
		go io.Copy(lineEnd{far, l}, near) //nolint:errcheck // a test's connection ends with it
		go io.Copy(lineEnd{near, l}, far) //nolint:errcheck // as above
	}
}

type lineEnd struct {
	io.Writer
	*line
}

func (e lineEnd) Write(p []byte) (int, error) {
	if e.cut.Load() {
		return len(p), nil
	}
	return e.Writer.Write(p)
}

// TestStream_cut ends a watch some time after its line was cut, although nobody ended the connection.
func TestStream_cut(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 40 seconds of a ping and its answer")
	}
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	l := &line{Listener: listener}
	config := configOf(t, serve(t, muteHub{accepts: true}), func(x *operatorconfig.Context) {
		l.hub, x.Hub = x.Hub, listener.Addr().String()
	})
	go l.serve()
	time.AfterFunc(2*time.Second, func() { l.cut.Store(true) })
	out, code := exitOf(t.Context(), config, "get", "ks", "-w")
	if code != 1 || !strings.Contains(out, "ended: see whether the hub runs") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}
