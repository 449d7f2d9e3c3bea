package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// logsHub has a log of two lines, of which it forgot three between them. It remembers what it was asked.
type logsHub struct {
	adminv1.UnimplementedAdminServiceServer
	asked string
}

func (h *logsHub) Logs(r *adminv1.LogsRequest, stream grpc.ServerStreamingServer[adminv1.LogsResponse]) error {
	tail := "all"
	if r.Tail != nil {
		tail = fmt.Sprint(r.GetTail())
	}
	h.asked = fmt.Sprintf("%q %d %s %s %t %s/%s/%s", r.GetCluster(), r.GetLevel(), r.GetSince().AsDuration(), tail,
		r.GetFollow(), r.GetKind(), r.GetNamespace(), r.GetName())
	at := timestamppb.New(time.Date(2026, 11, 27, 8, 0, 0, 5e6, time.UTC))
	for i, record := range []*adminv1.LogRecord{
		{Time: at, Level: 4, Message: "object failed", Attributes: []*adminv1.LogAttribute{{Key: "object",
			Value: "Fleet a"}, {Key: "count", Value: "1"}, {Key: "none"}}},
		{Time: at, Message: "two\nlines", Attributes: []*adminv1.LogAttribute{{Key: "err", Value: "a\n\u202eb"}}},
	} {
		m := &adminv1.LogsResponse{Records: []*adminv1.LogRecord{record}, Lost: uint64(3 * i)}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// TestLogs_arguments asks for what arguments and flags name.
func TestLogs_arguments(t *testing.T) {
	for name, c := range map[string]struct{ args, asked, says string }{
		"hub":           {"", `"" -4 0s all false //`, ""},
		"hub_by_name":   {"hub -f --level=warn", `"" 4 0s all true //`, ""},
		"cluster":       {"east --since=5m --tail=0", `"east" -4 5m0s 0 false //`, ""},
		"cluster_flag":  {"--cluster=east", `"east" -4 0s all false //`, ""},
		"cluster_hub":   {"cluster/hub", `"hub" -4 0s all false //`, ""},
		"object":        {"east --for=ks/app", `"east" -4 0s all false Kustomization//app`, ""},
		"object_of":     {"east --for=deployment.apps/web -n blue", `"east" -4 0s all false deployment.apps/blue/web`, ""},
		"both":          {"east --cluster=west", "", "--cluster does nothing here"},
		"level":         {"--level=loud", "", "want debug, info, warn or error"},
		"for":           {"--for=app", "", "want KIND/NAME"},
		"namespace":     {"-n blue", "", "--namespace does nothing here"},
		"output":        {"-o yaml", "", "want json"},
		"since":         {"--since=-1m", "", "0 or more"},
		"two_arguments": {"a b", "", "usage: nave logs [hub | CLUSTER]"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &logsHub{}
			_, errOut := nave(t, serve(t, h), append([]string{"logs"}, strings.Fields(c.args)...)...)
			if h.asked != c.asked || !strings.Contains(errOut, c.says) {
				t.Errorf("asked %q, want %q; it prints %q", h.asked, c.asked, errOut)
			}
		})
	}
}

// TestLogs_output prints one line for each record, whatever is in it, and tells what is missing.
func TestLogs_output(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"text": {"logs", "2026-11-27T08:00:00.005Z WARN  object failed object=\"Fleet a\" count=1 none=\"\"\n" +
			"2026-11-27T08:00:00.005Z INFO  two lines err=\"a\\n\\u202eb\"\n"},
		"json": {"logs -o json", `{"count":"1","level":"WARN","msg":"object failed","none":"","object":"Fleet a",` +
			`"time":"2026-11-27T08:00:00.005Z"}` + "\n" +
			`{"err":"a\n\u202eb","level":"INFO","msg":"two\nlines","time":"2026-11-27T08:00:00.005Z"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut := nave(t, serve(t, &logsHub{}), strings.Fields(c.args)...)
			if out != c.want || !strings.Contains(errOut, "nave: 3 lines missing here") {
				t.Errorf("got\n%s%s\nwant\n%s", out, errOut, c.want)
			}
		})
	}
}
