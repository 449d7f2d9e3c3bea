package operatorconfig

import (
	"fmt"
	"net"
)

// CheckAddress returns an error if the address of a hub is not host:port.
func CheckAddress(address string) error {
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return fmt.Errorf("address %q: want host:port, such as hub.example.com:7443", address)
	}
	return nil
}
