package api_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/api"
)

// TestBinding_hosts checks which URLs the hosts of a Secret name.
func TestBinding_hosts(t *testing.T) {
	for _, test := range []struct {
		name, hosts, url string
		want             bool
	}{
		{"https", "git.example.com", "https://git.example.com/x", true},
		{"https_port", "git.example.com", "https://git.example.com:443/x", true},
		{"ssh", "git.example.com", "ssh://git@git.example.com/x", true},
		{"upper_case", "Git.Example.com", "https://GIT.example.COM/x", true},
		{"one_of_several", "a.example.com, git.example.com", "https://git.example.com/x", true},
		{"own_port", "git.example.com:8443", "https://git.example.com:8443/x", true},
		{"http_port", "git.example.com:80", "http://git.example.com/x", true},
		{"ipv6", "::1", "https://[::1]/x", true},
		{"ipv6_port", "[::1]:8443", "https://[::1]:8443/x", true},
		{"no_hosts", "", "https://git.example.com/x", false},
		{"clear_text", "git.example.com", "http://git.example.com/x", false},
		{"another_port", "git.example.com", "https://git.example.com:8443/x", false},
		{"usual_port", "git.example.com:8443", "https://git.example.com/x", false},
		{"port_of_another_scheme", "git.example.com", "https://git.example.com:22/x", false},
		{"subdomain", "example.com", "https://git.example.com/x", false},
		{"suffix", "git.example.com", "https://git.example.com.evil.org/x", false},
		{"prefix", "git.example.com", "https://evil.org/git.example.com", false},
		{"user", "git.example.com", "https://git.example.com@evil.org/x", false},
		{"trailing_dot", "git.example.com", "https://git.example.com./x", false},
		{"no_url", "git.example.com", "https://git.example.com\x00/x", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			annotations := map[string]string{}
			if test.hosts != "" {
				annotations[api.HostsAnnotation] = test.hosts
			}
			b, err := api.ReadBinding(annotations)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Names(test.url); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestBinding_annotations checks that annotations without an effect, or with an obvious mistake, are refused.
func TestBinding_annotations(t *testing.T) {
	for _, test := range []struct{ name, hosts, namespaces, want string }{
		{"scheme", "https://git.example.com", "", "no scheme"},
		{"path", "git.example.com/team", "", "host or host:port"},
		{"pattern", "*.example.com", "", "host or host:port"},
		{"port", "git.example.com:0", "", "host or host:port"},
		{"empty", " ", "", "commas"},
		{"namespace", "git.example.com", "Team A", "namespaces"},
		{"no_hosts", "", "team", "bound to the hosts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			annotations := map[string]string{api.HostsAnnotation: test.hosts, api.NamespacesAnnotation: test.namespaces}
			maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
			if _, err := api.ReadBinding(annotations); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzBinding proves that the host that HostOf names for a URL is accepted, and binds to that URL.
func FuzzBinding(f *testing.F) {
	for _, seed := range []string{"https://a.b/c", "http://a", "ssh://git@a:2222/x", "https://[::1]:8/x",
		"https://A.b:443"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		host, err := api.HostOf(url)
		if err != nil {
			return
		}
		b, err := api.ReadBinding(map[string]string{api.HostsAnnotation: host})
		if err == nil && !b.Names(url) {
			t.Errorf("%q does not name %q", host, url)
		}
	})
}
