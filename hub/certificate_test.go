package hub_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/navefleet/nave/hub"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

func TestIssueOperator_running(t *testing.T) {
	r := start(t, t.TempDir())
	c, err := hub.IssueOperator(filepath.Dir(r.OperatorConfig()), "alice", r.Addr().String(), time.Hour)
	must(t, err)
	x, err := c.Context("")
	must(t, err)
	config, err := x.TLS()
	must(t, err)
	_, err = adminv1.NewAdminServiceClient(r.dial(config)).GetVersion(t.Context(), &adminv1.GetVersionRequest{})
	must(t, err)
}

func TestIssueOperator_no_hub(t *testing.T) {
	dir := t.TempDir()
	if _, err := hub.IssueOperator(dir, "alice", "hub:7443", time.Hour); err == nil {
		t.Fatal("a certificate was issued from nowhere")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatalf("left %v, %v", left, err)
	}
}
