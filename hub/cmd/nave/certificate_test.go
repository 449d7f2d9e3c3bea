package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/operatorconfig"
	"github.com/navefleet/nave/shared/identity"
)

// TestCertificateWarning warns before the operator's certificate ends: 30 days, or a quarter of its life.
func TestCertificateWarning(t *testing.T) {
	authority, err := identity.LoadOrCreateAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		life, left time.Duration
		warns      bool
	}{
		"new":         {365 * day, 364 * day, false},
		"month_left":  {365 * day, 29 * day, true},
		"short_life":  {8 * time.Hour, 7 * time.Hour, false},
		"short_ends":  {8 * time.Hour, time.Hour, true},
		"has_expired": {365 * day, -day, false},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := identity.NewKey()
			if err != nil {
				t.Fatal(err)
			}
			chain, err := authority.Issue(key.Public(), identity.ID{TrustDomain: authority.TrustDomain(),
				Role: identity.Operator, Name: "ann"}, c.life, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			x := &operatorconfig.Context{Name: "prod",
				ClientCertificateData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[0]})}
			got := certificateWarning(x, time.Now().Add(c.life-c.left))
			if (got != "") != c.warns || c.warns && !strings.Contains(got, "context prod ends at ") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestCertificateWarning_printed prints the warning on standard error, and nothing beside the output of a command.
func TestCertificateWarning_printed(t *testing.T) {
	s := &session{warning: "warning: soon"}
	var out, messages bytes.Buffer
	cmd := newCommand()
	cmd.SetOut(&out)
	cmd.SetErr(&messages)
	cmd.SetContext(context.Background())
	s.warn(cmd)
	s.warn(cmd)
	if out.Len() > 0 || messages.String() != "warning: soon\n" {
		t.Errorf("out %q, err %q", out.String(), messages.String())
	}
}
