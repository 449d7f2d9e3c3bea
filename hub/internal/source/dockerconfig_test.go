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

// TestCredentialHelper asks a helper only for a registry for which the configuration has no credentials itself.
func TestCredentialHelper(t *testing.T) {
	const config = `{"auths": {"ghcr.io": {"auth": "aHViOnA="}, "stored.example.com": {}},
		"credHelpers": {"1.dkr.ecr.eu.amazonaws.com": "ecr-login", "ghcr.io": "ghcr", "https://index.docker.io/v1/": "hub"},
		"credsStore": "pass"}`
	for name, c := range map[string]struct{ config, host, helper, server string }{
		"helper":      {config, "1.dkr.ecr.eu.amazonaws.com", "ecr-login", "1.dkr.ecr.eu.amazonaws.com"},
		"credentials": {config, "ghcr.io", "", ""},
		"docker_hub":  {config, "docker.io", "hub", "https://index.docker.io/v1/"},
		"store":       {config, "stored.example.com", "pass", "stored.example.com"},
		"port":        {config, "ghcr.io:5000", "pass", "ghcr.io:5000"},
		"no_helper":   {`{"auths": {}}`, "ghcr.io", "", "ghcr.io"},
		"other_host":  {`{"credHelpers": {"quay.io": "quay"}}`, "ghcr.io", "", "ghcr.io"},
		"no_json":     {`credsStore`, "ghcr.io", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			helper, server := CredentialHelper(Secret{DockerConfigKey: []byte(c.config)}, c.host, "org/app")
			if helper != c.helper || server != c.server {
				t.Errorf("got %q for %q, want %q for %q", helper, server, c.helper, c.server)
			}
		})
	}
	data, err := WithCredentials(Secret{DockerConfigKey: []byte(config), "ca.crt": []byte("ca")},
		DockerConfig{dockerHub: {Username: "robot", Password: "p"}})
	if err != nil || string(data["ca.crt"]) != "ca" {
		t.Fatal(data, err)
	}
	c, err := ReadDockerConfig(data)
	robot, _ := c.For("docker.io", "library/nginx")
	if hub, _ := c.For("ghcr.io", "org/app"); err != nil || robot.Username != "robot" || hub.Username != "hub" {
		t.Errorf("got %v, %v", c, err)
	}
}
