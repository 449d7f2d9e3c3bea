package fetch_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/api"
	"github.com/navefleet/nave/hub/internal/source"
	"github.com/navefleet/nave/hub/internal/store"
)

func confined(row *store.Resource, _ map[string]any) {
	row.Confined = &api.Confinement{Namespace: "team", Account: "team"}
}

// bind writes a Secret with a password that tells it apart, and with annotations.
func (h *hub) bind(name, hosts, namespaces string) {
	h.Helper()
	h.bindData(name, hosts, namespaces, map[string][]byte{"username": []byte("u"), "password": []byte("of " + name)})
}

// bindData writes a Secret with annotations.
func (h *hub) bindData(name, hosts, namespaces string, data map[string][]byte) {
	h.Helper()
	annotations := map[string]string{api.HostsAnnotation: hosts, api.NamespacesAnnotation: namespaces}
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	binding, err := api.ReadBinding(annotations)
	if err != nil {
		h.Fatal(err)
	}
	sealed, err := h.vault.Seal(name, data)
	if err != nil {
		h.Fatal(err)
	}
	h.update(func(tx *store.Tx) error {
		return store.Secrets.Put(tx, name, store.Secret{Sealed: sealed, Binding: binding})
	})
}

// passwords are those that the fetcher was given, without repetition.
func (h *hub) passwords() string {
	h.remote.mu.Lock()
	defer h.remote.mu.Unlock()
	var seen []string
	for _, c := range h.remote.calls {
		if p := string(c.auth["password"]); len(seen) == 0 || seen[len(seen)-1] != p {
			seen = append(seen, p)
		}
	}
	return strings.Join(seen, ", ")
}

// TestSecret is whose source may use which Secret of the hub, and what it is told if not.
func TestSecret(t *testing.T) {
	type bound struct{ name, hosts, namespaces string }
	const host = "example.com" // of url
	const operators, east = "", "east"
	for _, test := range []struct {
		name      string
		cluster   string
		namespace string
		secrets   []bound
		options   []option
		want      string // the password; empty: denied
		told      string
	}{
		{"operator", operators, "team", []bound{{"team/git", "", ""}}, nil, "of team/git", ""},
		{"operator/host", operators, "team", []bound{{"team/git", host, ""}}, nil, "of team/git", ""},
		{"operator/another_host", operators, "team", []bound{{"team/git", "other.com", ""}}, nil, "",
			"Secret team/git is not bound to host example.com"},
		{"operator/shared", operators, "team", []bound{{"flux-system/git", host, "team"}}, nil, "of flux-system/git", ""},
		{"operator/not_shared", operators, "team", []bound{{"flux-system/git", host, ""}}, nil, "",
			"the hub has no Secret team/git"},
		{"operator/own_before_shared", operators, "team", []bound{{"flux-system/git", host, "team"}, {"team/git", "", ""}},
			nil, "of team/git", ""},

		{"cluster", east, "team", []bound{{"team/git", host, "team"}}, nil, "of team/git", ""},
		{"cluster/shared", east, "team", []bound{{"flux-system/git", host, "blue,team"}}, nil, "of flux-system/git", ""},
		{"cluster/not_bound", east, "flux-system", []bound{{"flux-system/git", "", ""}}, nil, "",
			"let an operator apply the Secret flux-system/git to the hub"},
		{"cluster/no_namespace", east, "team", []bound{{"team/git", host, ""}}, nil, "", "fleet.nave.io/namespaces: team"},
		{"cluster/another_namespace", east, "team", []bound{{"team/git", host, "blue"}, {"flux-system/git", host, "blue"}},
			nil, "", "fleet.nave.io/namespaces: team"},
		{"cluster/another_host", east, "team", []bound{{"team/git", "other.com", "team"}}, nil, "",
			"fleet.nave.io/hosts: example.com"},
		{"cluster/another_port", east, "team", []bound{{"team/git", host, "team"}},
			[]option{from("https://example.com:8443/x")}, "", "fleet.nave.io/hosts: example.com:8443"},
		{"cluster/clear_text", east, "team", []bound{{"team/git", host, "team"}}, []option{from("http://example.com/x")}, "",
			"fleet.nave.io/hosts: example.com:80"},
		{"cluster/attacker", east, "team", []bound{{"team/git", host, "team"}},
			[]option{from("https://example.com@evil.org/x")}, "", "host evil.org"},
		{"cluster/none", east, "team", nil, nil, "",
			"let an operator apply the Secret team/git or flux-system/git to the hub"},

		{"tenant_of_the_hub", operators, "team", []bound{{"team/git", "", ""}}, []option{confined}, "",
			"no Secret git of the hub is bound"},
		{"tenant_of_the_hub/bound", operators, "team", []bound{{"team/git", host, "team"}}, []option{confined},
			"of team/git", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			play(t, func(h *hub) {
				for _, s := range test.secrets {
					h.bind(s.name, s.hosts, s.namespaces)
				}
				k := api.Key{Cluster: test.cluster, Kind: api.GitRepositoryKind, Namespace: test.namespace, Name: "x"}
				h.put(k, append([]option{secret("git")}, test.options...)...)
				if got := h.passwords(); got != test.want {
					t.Errorf("password %q, want %q", got, test.want)
				}
				o := h.condition(k)
				if denied := test.want == ""; denied == (o.Ready == "True") || !strings.Contains(o.Message, test.told) {
					t.Errorf("condition %+v, want %q", o, test.told)
				}
				if test.want == "" && test.cluster == east && o.Reason != "AccessDenied" {
					t.Errorf("reason %s", o.Reason)
				}
			})
		})
	}
}

// TestSecret_apart proves that a source without the right to a Secret gets nothing of one that has it.
func TestSecret_apart(t *testing.T) {
	play(t, func(h *hub) {
		h.bind("flux-system/git", "", "")
		operator, tenant := key("", "fleet"), key("east", "steal")
		h.put(operator, secret("git"))
		h.put(tenant, secret("git"))
		if o := h.condition(operator); o.Ready != "True" {
			t.Errorf("operator: %+v", o)
		}
		if o := h.condition(tenant); o.Ready != "False" || o.Revision != "" {
			t.Errorf("tenant: %+v", o)
		}
		h.bind("flux-system/git", "example.com", "flux-system") // and at once when it is allowed
		if o := h.condition(tenant); o.Ready != "True" || o.Revision != "one" {
			t.Errorf("allowed: %+v", o)
		}
		h.bind("flux-system/git", "", "") // and no longer
		if o := h.condition(tenant); o.Ready != "False" {
			t.Errorf("withdrawn: %+v", o)
		}
		artifacts := 0
		for _, row := range h.sources() {
			if row.Artifact != nil {
				artifacts++
			}
		}
		if artifacts != 1 {
			t.Errorf("%d sources have an artifact, want the operator's alone", artifacts)
		}
		h.pass(time.Minute)
		if o := h.condition(operator); o.Ready != "True" {
			t.Errorf("operator afterwards: %+v", o)
		}
	})
}

// TestSecret_shared fetches anew when the Secret changes that the operators share.
func TestSecret_shared(t *testing.T) {
	play(t, func(h *hub) {
		h.put(api.Key{Cluster: "east", Kind: api.GitRepositoryKind, Namespace: "team", Name: "x"}, secret("git"), every("1h"))
		h.bind("flux-system/git", "example.com", "team")
		if got := h.passwords(); got != "of flux-system/git" {
			t.Errorf("password %q", got)
		}
	})
}

// TestSecret_concealed has a fetcher, such as one whose worker died, whose error has the password in it.
func TestSecret_concealed(t *testing.T) {
	play(t, func(h *hub) {
		h.bind("flux-system/git", "", "")
		h.remote.set(url, "", fmt.Errorf("%w: panic: password %q", source.ErrWorker, "of flux-system/git"))
		h.put(key("", "fleet"), secret("git"))
		o := h.condition(key("", "fleet"))
		if strings.Contains(o.Message, "of flux-system") || !strings.Contains(o.Message, "(credentials)") {
			t.Errorf("message %q", o.Message)
		}
	})
}

// TestPlugin has sources whose credentials a plugin of the hub gives.
func TestPlugin(t *testing.T) {
	cloud := func(_ *store.Resource, spec map[string]any) { spec["provider"] = "aws" }
	plugin := func(_ context.Context, asked string, _ bool) (source.Secret, error) {
		return source.Secret{"username": []byte("u"), "password": []byte("for " + asked)}, nil
	}
	for name, c := range map[string]struct {
		cluster string
		options []option
		plugins func(context.Context, string, bool) (source.Secret, error)
		want    string // the password; empty: refused
		reason  string
		told    string
	}{
		"operator": {"", nil, plugin, "for " + url, "Succeeded", ""},
		"none":     {"", nil, nil, "", "AuthenticationFailed", "--credential-provider-config"},
		"cluster":  {"east", nil, plugin, "", "AccessDenied", "spec.secretRef"},
		"tenant":   {"", []option{confined}, plugin, "", "AccessDenied", "spec.secretRef"},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *hub) {
				h.stop()
				h.plugins = c.plugins
				h.start()
				k := api.Key{Cluster: c.cluster, Kind: api.OCIRepositoryKind, Namespace: "team", Name: "x"}
				h.put(k, append([]option{cloud}, c.options...)...)
				o := h.condition(k)
				if calls := h.remote.calls; len(calls) > 0 && calls[0].giver != "the credential provider plugin of the hub" {
					t.Errorf("the credentials are said to be of %q", calls[0].giver)
				}
				if got := h.passwords(); got != c.want || o.Reason != c.reason || !strings.Contains(o.Message, c.told) {
					t.Errorf("password %q, condition %+v", got, o)
				}
			})
		})
	}
}

// TestPlugin_anew asks a plugin for other credentials after the server has refused the last ones.
func TestPlugin_anew(t *testing.T) {
	play(t, func(h *hub) {
		h.stop()
		var asked []bool
		h.plugins = func(_ context.Context, _ string, anew bool) (source.Secret, error) {
			asked = append(asked, anew)
			return source.Secret{"username": []byte("u"), "password": []byte("p")}, nil
		}
		h.start()
		h.remote.set(url, "", source.ErrAuthentication)
		h.put(api.Key{Kind: api.OCIRepositoryKind, Namespace: "team", Name: "x"},
			func(_ *store.Resource, spec map[string]any) { spec["provider"] = "aws" })
		h.remote.set(url, "one", nil)
		h.pass(5 * time.Minute)
		if len(asked) < 3 || asked[0] || !asked[1] || asked[2] {
			t.Errorf("asked anew: %v", asked)
		}
	})
}

// TestDockerHelper runs the credential helper that the Secret of an operator's source names, and none for anybody else.
func TestDockerHelper(t *testing.T) {
	named := func(_ *store.Resource, spec map[string]any) { spec["secretRef"] = map[string]any{"name": "images"} }
	ran := false
	helper := func(_ context.Context, name, server string) (source.DockerConfig, error) {
		ran = true
		return source.DockerConfig{server: {Username: "u", Password: name + " for " + server}}, nil
	}
	refuse := func(_ context.Context, _, _ string) (source.DockerConfig, error) {
		return nil, fmt.Errorf("%w: no answer", source.ErrAuthentication)
	}
	const config = `{"credsStore": "test"}`
	const own = `{"auths": {"example.com": {"username": "u", "password": "own"}}, "credsStore": "test"}`
	for name, c := range map[string]struct {
		config, cluster string
		options         []option
		helper          func(ctx context.Context, name, server string) (source.DockerConfig, error)
		want            string // the password; empty: refused
		reason, told    string
	}{
		"operator":        {config, "", nil, helper, "test for example.com", "Succeeded", ""},
		"own_credentials": {own, "", nil, nil, "own", "Succeeded", ""},
		"none":            {config, "", nil, nil, "", "AuthenticationFailed", "--docker-credential-helper-dir"},
		"fails":           {config, "", nil, refuse, "", "AuthenticationFailed", "Secret team/images: authentication failed: no answer"},
		"cluster":         {config, "east", nil, helper, "", "AccessDenied", "give the Secret auths for example.com"},
		"tenant":          {config, "", []option{confined}, helper, "", "AccessDenied", "give the Secret auths"},
		"tenants_own":     {own, "", []option{confined}, helper, "own", "Succeeded", ""},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(h *hub) {
				h.stop()
				h.docker, ran = c.helper, false
				h.start()
				h.bindData("team/images", "example.com", "team", map[string][]byte{source.DockerConfigKey: []byte(c.config)})
				k := api.Key{Cluster: c.cluster, Kind: api.OCIRepositoryKind, Namespace: "team", Name: "x"}
				h.put(k, append([]option{named}, c.options...)...)
				o, got := h.condition(k), ""
				if calls := h.remote.calls; len(calls) > 0 {
					config, err := source.ReadDockerConfig(calls[0].auth)
					if err != nil {
						t.Fatal(err)
					}
					a, _ := config.For("example.com", "x")
					got = a.Password
					if isHelper := calls[0].giver == `the credential helper "test"`; isHelper != ran {
						t.Errorf("the credentials are said to be of %q", calls[0].giver)
					}
				}
				if got != c.want || o.Reason != c.reason || !strings.Contains(o.Message, c.told) {
					t.Errorf("password %q, condition %+v", got, o)
				}
				if wants := name == "operator"; ran != wants {
					t.Errorf("a helper ran: %t, want %t", ran, wants)
				}
			})
		})
	}
}
