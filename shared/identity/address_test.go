package identity

import (
	"strings"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	for _, address := range []string{"hub.example.com:7443", "hub:1", "10.0.0.1:65535", "[2001:db8::1]:7443",
		"[fe80::1%eth0]:7443", "nave-hub.nave-hub.svc:7443", "localhost:7443", "my_hub.example.com.:7443"} {
		if err := CheckAddress(address); err != nil {
			t.Error(err)
		}
	}
	for address, says := range map[string]string{
		"":                              "want host:port",
		"hub.example.com":               "want host:port",
		"hub.example.com:":              "number from 1 to 65535",
		":7443":                         `"" is no name`,
		"https://hub.example.com:7443":  "want host:port",
		"https://hub.example.com":       "number from 1 to 65535",
		"hub.example.com:7443/":         "number from 1 to 65535",
		"hub.example.com:0":             "number from 1 to 65535",
		"hub.example.com:65536":         "number from 1 to 65535",
		"hub.example.com:https":         "number from 1 to 65535",
		"2001:db8::1:7443":              "want host:port",
		"0.0.0.0:7443":                  "nobody can dial 0.0.0.0",
		"[::]:7443":                     "nobody can dial ::",
		"*.example.com:7443":            "no name of a host",
		"hub example:7443":              "no name of a host",
		"HOST :7443":                    "no name of a host",
		"-hub:7443":                     "no name of a host",
		"hub..example.com:7443":         "no name of a host",
		strings.Repeat("a", 254) + ":1": "no name of a host",
	} {
		if err := CheckAddress(address); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", address, err, says)
		}
	}
}

func TestCheckPin(t *testing.T) {
	if err := CheckPin(newAuthority(t).Pin()); err != nil {
		t.Error(err)
	}
	for _, text := range []string{"", "sha256:", "sha256:ab", strings.Repeat("a", 64), "sha1:" + strings.Repeat("a", 40),
		"sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 65), "SHA256:" + strings.Repeat("a", 64)} {
		if err := CheckPin(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
