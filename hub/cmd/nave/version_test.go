package main

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/version"
)

// versionHub has spokes of two versions, or fails.
type versionHub struct {
	adminv1.UnimplementedAdminServiceServer
	fails bool
}

func (h *versionHub) GetVersion(_ context.Context, r *adminv1.GetVersionRequest) (*adminv1.GetVersionResponse, error) {
	if h.fails || !r.GetSpokes() {
		return nil, status.Error(codes.Internal, "the hub failed")
	}
	return &adminv1.GetVersionResponse{Version: "v1.1.0", Protocol: 2, Spokes: []*adminv1.SpokeVersion{
		{Clusters: 1}, {Version: "v1.0.0", Clusters: 3, Connected: 1}, {Version: "v1.1.0", Clusters: 1, Connected: 1},
	}}, nil
}

// TestVersion prints what is known. If the hub does not answer, that is an error after the version of the client.
func TestVersion(t *testing.T) {
	own := "nave: " + version.String() + "\n"
	for name, c := range map[string]struct {
		args, out, says string
		fails           bool
	}{
		"all": {"version", own + "hub:  v1.1.0 (protocol 2)\nspokes: unknown on 1 cluster, 1 of them not connected\n" +
			"        v1.0.0 on 3 clusters, 2 of them not connected\n        v1.1.0 on 1 cluster\n", "", false},
		"client": {"version --client", own, "", true},
		"fails":  {"version", own, "nave: the hub failed", true},
		"format": {"version -o xml", "", `unknown output "xml": want json, yaml`, false},
		"path":   {"version -o jsonpath={.spokes[1].clusters}", "3", "", false},
		"flag":   {"--version", "nave version " + version.String() + "\n", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			out, errOut := nave(t, serve(t, &versionHub{fails: c.fails}), strings.Fields(c.args)...)
			if out != c.out || !strings.Contains(errOut, c.says) || c.says == "" && errOut != "" {
				t.Errorf("it prints %q and %q", out, errOut)
			}
		})
	}
}

func TestVersion_json(t *testing.T) {
	out, _ := nave(t, serve(t, &versionHub{}), "version", "-o", "json")
	var got versions
	want := []spokeVersion{{"", 1, 0}, {"v1.0.0", 3, 1}, {"v1.1.0", 1, 1}}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Hub == nil || got.Client.Version == "" ||
		*got.Hub != (hubVersion{"v1.1.0", 2}) || !reflect.DeepEqual(got.Spokes, want) {
		t.Errorf("%v: %s", err, out)
	}
}
