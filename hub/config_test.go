package hub

import (
	"strings"
	"testing"
)

// TestConfig_advertise checks that an address at which no spoke could reach the hub is refused.
func TestConfig_advertise(t *testing.T) {
	for address, ok := range map[string]bool{
		"hub.example.com:7443": true, "[2001:db8::1]:7443": true, "hub.example.com": false, "hub.example.com:": false,
		":7443": false, "2001:db8::1": false, "https://hub.example.com:7443": false, "0.0.0.0:7443": false,
	} {
		c := Config{DataDir: t.TempDir(), Advertise: []string{"192.0.2.1:7443", address}}
		_, err := c.withDefaults()
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "want host:port") {
			t.Errorf("%q: %v", address, err)
		}
	}
}
