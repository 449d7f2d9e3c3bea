package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/identity"
	"github.com/navefleet/nave/shared/telemetry"
)

// scriptedLogs is the log of the hub, or of each spoke: a line, and then nothing until ctx ends, if it is followed.
type scriptedLogs struct{ asked chan string }

func (l *scriptedLogs) Read(ctx context.Context, q telemetry.Query, send func([]telemetry.Record, uint64) error) error {
	return l.Logs(ctx, "the hub", q, send)
}

func (l *scriptedLogs) Logs(ctx context.Context, cluster string, q telemetry.Query,
	send func([]telemetry.Record, uint64) error) error {
	l.asked <- fmt.Sprintf("%s %s %s %d %q", cluster, q.Level, q.Since, q.Tail, q.Kind+"/"+q.Name)
	if cluster == "b" {
		return status.Error(codes.Unavailable, "the spoke is not connected")
	}
	record := telemetry.Record{Level: slog.LevelWarn, Message: "of\x1b " + cluster,
		Attributes: []telemetry.Attribute{{Key: "k", Value: "v"}}}
	if err := send([]telemetry.Record{record}, 2); err != nil || !q.Follow {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// logsRig is a rig with logs and two clusters.
func logsRig(t *testing.T) (*rig, *scriptedLogs) {
	r := newRig(t)
	l := &scriptedLogs{asked: make(chan string, 100)}
	r.server.logs, r.server.records = l, l
	r.apply(clusterYAML{name: "a"}.String())
	r.apply(clusterYAML{name: "b"}.String())
	return r, l
}

// lineOf returns the first record of a message.
func lineOf(m *adminv1.LogsResponse) string {
	r := m.GetRecords()[0]
	return fmt.Sprintf("%s %s %s=%s", slog.Level(r.GetLevel()), r.GetMessage(), r.GetAttributes()[0].GetKey(),
		r.GetAttributes()[0].GetValue())
}

// TestLogs reads the log of the hub and those of spokes.
func TestLogs(t *testing.T) {
	for name, c := range map[string]struct {
		request     *adminv1.LogsRequest
		asked, line string
		code        codes.Code
		says        string
	}{
		"hub": {&adminv1.LogsRequest{}, `the hub INFO 0s -1 "/"`, "WARN of\ufffd the hub k=v", codes.OK, ""},
		"spoke": {&adminv1.LogsRequest{Cluster: "a", Level: -4, Since: durationpb.New(time.Hour), Tail: proto.Uint32(7), Kind: "ks", Name: "x"},
			`a DEBUG 1h0m0s 7 "Kustomization/x"`, "WARN of\ufffd a k=v", codes.OK, ""},
		"away":       {&adminv1.LogsRequest{Cluster: "b"}, `b INFO 0s -1 "/"`, "", codes.Unavailable, "cluster b: the spoke is not connected"},
		"no_cluster": {&adminv1.LogsRequest{Cluster: "none"}, "", "", codes.NotFound, "Cluster none not found"},
		"half":       {&adminv1.LogsRequest{Kind: "ks"}, "", "", codes.InvalidArgument, "set both or none"},
		"negative":   {&adminv1.LogsRequest{Since: durationpb.New(-1)}, "", "", codes.InvalidArgument, "0 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			r, l := logsRig(t)
			stream, err := r.Logs(t.Context(), c.request)
			must(t, err)
			m, err := stream.Recv()
			if c.code != codes.OK {
				wantCode(t, err, c.code, c.says)
			} else if must(t, err); lineOf(m) != c.line || m.GetLost() != 2 {
				t.Errorf("got %q, want %q", lineOf(m), c.line)
			} else if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("then %v", err)
			}
			close(l.asked)
			if asked := <-l.asked; asked != c.asked {
				t.Errorf("asked %q, want %q", asked, c.asked)
			}
		})
	}
}

// TestLogs_share serves one operator only half of the readers, and ends all when the hub stops. Nobody else than an
// operator reads a log.
func TestLogs_share(t *testing.T) {
	r, _ := logsRig(t)
	var open []adminv1.AdminService_LogsClient
	follow := func(client adminv1.AdminServiceClient) error {
		stream, err := client.Logs(t.Context(), &adminv1.LogsRequest{Cluster: "a", Follow: true})
		must(t, err)
		if _, err = stream.Recv(); err == nil {
			open = append(open, stream)
		}
		return err
	}
	for range maxReaders / 2 {
		must(t, follow(r))
	}
	wantCode(t, follow(r), codes.ResourceExhausted, "of operator admin", "end one of them")
	must(t, follow(r.dial(r.credential(identity.Operator, "another"))))
	wantCode(t, follow(r.dial(r.credential(identity.Cluster, "a"))), codes.PermissionDenied)
	r.server.Drain()
	for _, stream := range open {
		if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "stopping") {
			t.Errorf("the hub stops: %v", err)
		}
	}
}

// quietLog is a log without records.
type quietLog struct{}

func (quietLog) Read(ctx context.Context, _ telemetry.Query, _ func([]telemetry.Record, uint64) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestLogs_quiet tells the operator at once that the hub follows a log, although the log has no records.
func TestLogs_quiet(t *testing.T) {
	r, _ := logsRig(t)
	r.server.records = quietLog{}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := r.Logs(ctx, &adminv1.LogsRequest{Follow: true})
	must(t, err)
	if header, err := stream.Header(); err != nil || header == nil {
		t.Errorf("header %v, error %v", header, err)
	}
}
