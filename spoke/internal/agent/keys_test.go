package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/condition"
	"github.com/navefleet/nave/spoke/internal/apply"
	"github.com/navefleet/nave/spoke/internal/decrypt"
)

// TestKeyService decides who may ask the key service, and whether it replaces keys.
func TestKeyService(t *testing.T) {
	service, err := decrypt.NewService("unix:///nowhere/s")
	if err != nil {
		t.Fatal(err)
	}
	mine := appNamed("a").Namespace
	named := bundle.SecretReference{Namespace: mine, Name: "sops-age"}
	unnamed := bundle.SecretReference{Namespace: mine}
	other := map[string][]byte{"sops.vault-token": []byte("x")}
	for name, tt := range map[string]struct {
		service *decrypt.Service
		account string
		allowed []string
		keys    bundle.SecretReference
		secret  map[string][]byte
		want    string // in the error; empty: none
	}{
		"no_decryption":      {service: service, want: "has no spec.decryption"},
		"service_alone":      {service: service, keys: unnamed},
		"no_service":         {keys: unnamed, want: "no key service to ask"},
		"tenant":             {service: service, account: "t", keys: unnamed, want: "--key-service-namespaces"},
		"tenant_elsewhere":   {service: service, account: "t", allowed: []string{"x"}, keys: unnamed, want: "service account"},
		"tenant_allowed":     {service: service, account: "t", allowed: []string{mine}, keys: unnamed},
		"secret_without_key": {service: service, keys: named, secret: other},
		"secret_of_a_cloud":  {keys: named, secret: other, want: "give what sops.vault-token holds to a key service"},
		"broken_key": {service: service, keys: named, secret: map[string][]byte{"k.agekey": []byte("x")},
			want: "entry k.agekey"},
		"no_secret": {service: service, keys: named, want: "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Config{KeyService: tt.service, KeyServiceNamespaces: tt.allowed})
			app := &bundle.Application{Name: appNamed("a"), ServiceAccount: tt.account, Decryption: tt.keys}
			l := newTestLoader(blobs{}, newBudget(0), app)
			l.service = a.keyServiceOf(app)
			l.secret = func(context.Context, string, string) (map[string][]byte, error) {
				if tt.secret == nil {
					return nil, errors.New("not found")
				}
				return tt.secret, nil
			}
			switch err := l.needKeys(t.Context()); {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// TestKeyService_reason tells a key service that is absent from a key that is missing, and asks again soon.
func TestKeyService_reason(t *testing.T) {
	entry := func(err error) apply.Entry { return apply.Entry{Err: &sealedError{err}} }
	absent, missing := entry(decrypt.ErrService), entry(decrypt.ErrNoKey)
	unset := apply.Entry{Err: fmt.Errorf("Secret x: %w", &unsetError{errors.New("no value")})}
	for _, c := range []struct {
		want   string
		failed []apply.Entry
	}{
		{condition.KeyServiceUnavailable, []apply.Entry{absent, absent}},
		{condition.DecryptionFailed, []apply.Entry{absent, missing}},
		{condition.ReconciliationFailed, []apply.Entry{absent, {Err: errors.New("refused")}}},
		{condition.InputNotReady, []apply.Entry{unset, unset}},
		{condition.DecryptionFailed, []apply.Entry{unset, missing}},
		{condition.ReconciliationFailed, []apply.Entry{unset, {Err: errors.New("refused")}}},
	} {
		if got := reasonOf(c.failed, condition.ReconciliationFailed); got != c.want {
			t.Errorf("reason %s, want %s", got, c.want)
		}
	}
	m := newModel("east", func() float64 { return 0 })
	m.now = time.Unix(1, 0)
	n := &node{app: &bundle.Application{RetryInterval: time.Hour}, failures: 20}
	m.fail(n, failure{reason: condition.KeyServiceUnavailable})
	if pause := n.retryAt.Sub(m.now); pause > maxServiceRetry {
		t.Errorf("asked again after %s", pause)
	}
}

// TestLookForKeys reports the public names of keys, and why there are none, and no key.
func TestLookForKeys(t *testing.T) {
	private := fixture(t, "secret.agekey")
	service, err := decrypt.NewService("unix:///nowhere/s")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		secret  map[string][]byte
		service *decrypt.Service
		names   []string // the beginning of each
		missing string
	}{
		"key":         {map[string][]byte{"k.agekey": private}, nil, []string{"age age1"}, ""},
		"and_service": {map[string][]byte{"k.agekey": private}, service, []string{"age age1", "the key service"}, ""},
		"service":     {map[string][]byte{"x": private}, service, []string{"the key service"}, ""},
		"none":        {map[string][]byte{"x": private}, nil, nil, "no entry that ends in .agekey"},
		"no_secret":   {nil, nil, nil, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			app := &bundle.Application{Name: appNamed("a"),
				Decryption: bundle.SecretReference{Namespace: appNamed("a").Namespace, Name: "sops-age"}}
			l := newTestLoader(blobs{}, newBudget(0), app)
			l.service = tt.service
			l.secret = func(context.Context, string, string) (map[string][]byte, error) {
				if tt.secret == nil {
					return nil, errors.New("not found")
				}
				return tt.secret, nil
			}
			keys := l.keyNames(t.Context()).wire(discretion{})
			if len(keys.Names) != len(tt.names) || !strings.Contains(keys.Missing, tt.missing) ||
				(keys.Missing == "") != (tt.missing == "") {
				t.Errorf("got %v", keys)
			}
			for i, want := range tt.names {
				if !strings.HasPrefix(keys.Names[i], want) {
					t.Errorf("got %v, want %s", keys, want)
				}
			}
			if strings.Contains(keys.String(), "SECRET") {
				t.Error("a key is reported")
			}
		})
	}
}
