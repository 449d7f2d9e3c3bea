package source

import (
	"errors"
	"net/url"
	"strings"
)

// Proxy returns the proxy that spec.proxySecretRef gives, with credentials; nil if the source names none. Its scheme is
// http, https or socks5. The Secret has Flux's keys: address, username, password. Errors are ErrAuthentication.
func (r Request) Proxy() (*url.URL, error) {
	data, ok := r.Secrets["spec.proxySecretRef"]
	if !ok {
		return nil, nil
	}
	proxy, err := readProxy(data)
	if err != nil {
		return nil, secretError("spec.proxySecretRef", err)
	}
	return proxy, nil
}

// readProxy reads a Secret. Errors name the key, and not its value, which may hold a password.
func readProxy(data Secret) (*url.URL, error) {
	const want = "want http://host:port, https://host:port or socks5://host:port"
	username, password := string(data["username"]), string(data["password"])
	u, err := url.Parse(strings.TrimSpace(string(data["address"])))
	switch {
	case len(data["address"]) == 0:
		return nil, errors.New("address is missing: " + want)
	case err != nil, u.Hostname() == "":
		return nil, errors.New("address is not a URL: " + want)
	case u.Scheme == "socks5h": // names are always left to the proxy
		u.Scheme = "socks5"
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5":
		return nil, errors.New("address has an unknown scheme: " + want)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("address has credentials in it: give them as username and password")
	case username == "" && password != "":
		return nil, errors.New("password without username")
	case username != "":
		u.User = url.UserPassword(username, password)
	}
	return u, nil
}
