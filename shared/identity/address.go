package identity

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$`)
	pin      = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// CheckAddress returns an error if nobody could dial an address of a hub: it is host:port, the host is a name or an
// address of one machine, and the port is a number.
func CheckAddress(address string) error {
	const want = "want host:port, such as hub.example.com:7443"
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %s", address, want)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address %q: the port must be a number from 1 to 65535: %s", address, want)
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && (ip.IsUnspecified() || ip.IsMulticast()):
		return fmt.Errorf("address %q: nobody can dial %s: %s", address, ip, want)
	case err != nil && (!hostName.MatchString(host) || len(host) > 253):
		return fmt.Errorf("address %q: %q is no name of a host: %s", address, host, want)
	}
	return nil
}

// CheckPin returns an error if a pin cannot be that of an authority (see PinOf).
func CheckPin(text string) error {
	if !pin.MatchString(text) {
		return fmt.Errorf("pin %q: want sha256: and the 64 digits of a hash, in lower case, such as "+
			"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855; the join manifest has it", text)
	}
	return nil
}
