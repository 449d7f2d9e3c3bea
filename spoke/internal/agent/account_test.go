package agent

import (
	"context"
	"errors"
	"testing"

	"github.com/navefleet/nave/shared/bundle"
	sharedhealth "github.com/navefleet/nave/shared/health"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/health"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

// TestAccount_default applies Applications that name no service account with the default one, and others with their
// own.
func TestAccount_default(t *testing.T) {
	for name, test := range map[string]struct{ named, byDefault, want string }{
		"none": {"", "", ""}, "default": {"", "tenant", "tenant"}, "named": {"team", "tenant", "team"},
	} {
		t.Run(name, func(t *testing.T) {
			app := application("apps")
			app.ServiceAccount = test.named
			data, err := app.Encode()
			if err != nil {
				t.Fatal(err)
			}
			e := bundle.Entry{Name: app.Name, Digest: manifest.DigestOf(data)}
			a := New(Config{DefaultServiceAccount: test.byDefault})
			apps, err := a.readApplications([]bundle.Entry{e},
				map[manifest.Digest][]byte{e.Digest: data})
			if err != nil {
				t.Fatal(err)
			}
			if got := apps[app.Name].ServiceAccount; got != test.want {
				t.Errorf("service account %q, want %q", got, test.want)
			}
		})
	}
}

// TestAccount_health looks at objects of spec.healthChecks with the rights of the account, and believes the spoke's own
// watches only about what the account itself applied.
func TestAccount_health(t *testing.T) {
	mine, other := appNamed("a"), appNamed("b")
	id := bundle.ObjectIdentity{Version: "v1", Kind: "Pod", Namespace: "shop", Name: "p"}
	for name, test := range map[string]struct {
		account string
		applier bundle.ApplicationName
		asked   string
	}{
		"own_object":              {"team", mine, ""},
		"another_ones":            {"team", other, "team"},
		"nobody_of_ours":          {"team", bundle.ApplicationName{}, "team"},
		"another_ones_no_account": {"", other, ""},
		"no_account":              {"", bundle.ApplicationName{}, "the spoke"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			index := inventory.NewIndex()
			if test.applier.Name != "" {
				v := inventory.New(test.applier)
				v.Items[id.ID()] = inventory.Item{UID: "u", Version: "v1"}
				index.Replace(v)
			}
			a := New(Config{Index: index, Check: func(_ context.Context, app bundle.ApplicationName, account string,
				_ bundle.ObjectIdentity) (health.Report, error) {
				if asked = account; account == "" {
					asked = "the spoke"
				}
				if app != mine {
					t.Errorf("for %s", app)
				}
				return health.Report{Status: sharedhealth.Current}, nil
			}})
			if _, _, err := a.look(t.Context(), check{name: mine, account: test.account}, id); err != nil {
				t.Error(err)
			}
			if asked != test.asked {
				t.Errorf("asked with the rights of %q, want %q", asked, test.asked)
			}
		})
	}
}

// TestAccount_keys reads keys of the application's own namespace only, where it has a service account.
func TestAccount_keys(t *testing.T) {
	for name, test := range map[string]struct {
		account, namespace string
		denied             bool
	}{
		"own":                  {"team", appNamed("a").Namespace, false},
		"elsewhere":            {"team", "kube-system", true},
		"elsewhere_no_account": {"", "kube-system", false},
	} {
		t.Run(name, func(t *testing.T) {
			read := errors.New("read")
			app := &bundle.Application{
				Name: appNamed("a"), ServiceAccount: test.account, Decryption: bundle.SecretReference{Namespace: test.namespace,
					Name: "sops-age"},
			}
			l := newTestLoader(blobs{}, newBudget(0), app)
			l.secret = func(context.Context, string, string) (map[string][]byte, error) { return nil, read }
			err := l.needKeys(t.Context())
			if denied := errors.Is(err, decrypt.ErrNoKey); denied != test.denied || !denied && !errors.Is(err, read) {
				t.Errorf("error %v", err)
			}
		})
	}
}
