package source

import (
	"strings"
	"testing"
)

func TestDockerConfig(t *testing.T) {
	c, err := ReadDockerConfig(Secret{DockerConfigKey: []byte(`{"auths":{
		"https://index.docker.io/v1/": {"auth": "aHViOnA="}, "ghcr.io": {"username": "ghcr", "password": "p"},
		"ghcr.io/org": {"username": "org", "password": "p"}, "*.azurecr.io": {"username": "any", "password": "p"},
		"one.azurecr.io": {"username": "one", "password": "p"}, "registry:5000": {"identitytoken": "t"},
		"empty.example.com": {}, "bad.example.com": {"auth": "!"}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ host, repository, want string }{
		"docker_hub":   {"index.docker.io", "library/a", "hub"},
		"host":         {"ghcr.io", "other/a", "ghcr"},
		"path":         {"ghcr.io", "org/a", "org"},
		"whole_step":   {"ghcr.io", "organ/a", "ghcr"},
		"any_label":    {"two.azurecr.io", "a", "any"},
		"exact":        {"one.azurecr.io", "a", "one"},
		"two_labels":   {"a.b.azurecr.io", "a", "none"},
		"other_port":   {"registry:5001", "a", "none"},
		"port":         {"registry:5000", "a", "token t"},
		"empty":        {"empty.example.com", "a", "none"},
		"cannot_read":  {"bad.example.com", "a", "none"},
		"upper_case":   {"GHCR.io", "a", "ghcr"},
		"other_domain": {"evil-ghcr.io", "org/a", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			a, ok := c.For(test.host, test.repository)
			got := a.Username
			if a.IdentityToken != "" {
				got = "token " + a.IdentityToken
			}
			if !ok {
				got = "none"
			}
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestConceal_docker_config hides what is inside of a Docker configuration.
func TestConceal_docker_config(t *testing.T) {
	text := `{"auths":{"a":{"username":"robot","password":"canary-one"},"b":{"auth":"cm9ib3Q6Y2FuYXJ5LXR3bw=="}}}`
	secrets := map[string]Secret{"spec.secretRef": {DockerConfigKey: []byte(text)}}
	got := conceal("said canary-one and canary-two, cm9ib3Q6Y2FuYXJ5LXR3bw== of robot", "oci://a/b", secrets)
	if strings.Contains(got, "canary") || strings.Contains(got, "cm9ib3Q6") || !strings.Contains(got, "robot") {
		t.Errorf("got %s", got)
	}
}
