package dial

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
	socks "golang.org/x/net/proxy"
)

// Proxies are the values of the environment variables HTTP_PROXY, HTTPS_PROXY and NO_PROXY, set by the operator.
type Proxies struct {
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	No    string `json:"no,omitempty"`
}

// ProxiesOfEnvironment reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
func ProxiesOfEnvironment() Proxies {
	c := httpproxy.FromEnvironment()
	return Proxies{HTTP: c.HTTPProxy, HTTPS: c.HTTPSProxy, No: c.NoProxy}
}

// proxyFunc returns the proxy for a URL, or nil.
type proxyFunc func(*url.URL) (*url.URL, error)

func (p Proxies) choose() proxyFunc {
	return (&httpproxy.Config{HTTPProxy: p.HTTP, HTTPSProxy: p.HTTPS, NoProxy: p.No}).ProxyFunc()
}

// addresses returns the addresses of the proxies, as host:port.
func (p Proxies) addresses() []string {
	var found []string
	for _, raw := range []string{p.HTTP, p.HTTPS} {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			u, err = url.Parse("http://" + raw)
		}
		if err == nil && u.Host != "" {
			found = append(found, AddressOf(u))
		}
	}
	return found
}

// AddressOf returns the host:port of a URL. Without a port it is the usual one of the scheme.
func AddressOf(u *url.URL) string {
	usual := map[string]string{"https": "443", "ssh": "22", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), usual, "80"))
}

// Transport returns a transport for HTTP whose connections are the Dialer's. The operator chose the proxies, so they
// may have any address; the addresses that a proxy is asked for are checked. A name that the hub cannot resolve is left
// to the proxy.
func (d *Dialer) Transport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               d.chooseProxy,
		DialContext:         d.dialHTTP,
		TLSClientConfig:     config,
		TLSHandshakeTimeout: timeout,
		ForceAttemptHTTP2:   true,
	}
}

// chooseProxy returns the proxy for a request. An address that a proxy is asked for, and the address of a proxy itself,
// are checked here; all other addresses are checked when they are dialled.
func (d *Dialer) chooseProxy(r *http.Request) (*url.URL, error) {
	proxy, err := d.proxy(r.URL)
	if err != nil {
		return nil, err
	}
	if target := AddressOf(r.URL); proxy != nil || d.isProxy(target) {
		if _, err := d.check(r.Context(), target); err != nil && !(proxy != nil && isUnresolved(err)) {
			return nil, err
		}
	}
	return proxy, nil
}

// dialHTTP dials for the transport, which dials the proxy, if there is one, by the name that the operator gave it.
func (d *Dialer) dialHTTP(ctx context.Context, network, address string) (net.Conn, error) {
	if !d.isProxy(address) {
		return d.DialContext(ctx, network, address)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return d.connect(ctx, network, address)
}

// Through returns a Dialer whose transports use a proxy that a user's object names, instead of those of the Policy. The
// policy holds for the address of that proxy as for any other.
func (d *Dialer) Through(proxy *url.URL) *Dialer {
	through := *d
	through.proxy = func(*url.URL) (*url.URL, error) { return proxy, nil }
	return &through
}

// DialSOCKS connects to address by way of a SOCKS5 proxy that a user's object names. The policy holds for both
// addresses. A name that the hub cannot resolve is left to the proxy.
func (d *Dialer) DialSOCKS(ctx context.Context, proxy *url.URL, network, address string) (net.Conn, error) {
	if _, err := d.check(ctx, address); err != nil && !isUnresolved(err) {
		return nil, err
	}
	var auth *socks.Auth
	if proxy.User != nil {
		password, _ := proxy.User.Password()
		auth = &socks.Auth{User: proxy.User.Username(), Password: password}
	}
	through, err := socks.SOCKS5(network, AddressOf(proxy), auth, forward{d})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return through.(socks.ContextDialer).DialContext(ctx, network, address)
}

// forward dials the proxy for package proxy.
type forward struct{ *Dialer }

// Dial implements the proxy package's Dialer.
func (f forward) Dial(network, address string) (net.Conn, error) {
	return f.DialContext(context.Background(), network, address)
}

func (d *Dialer) isProxy(address string) bool {
	return slices.ContainsFunc(d.policy.Proxies.addresses(), func(p string) bool { return strings.EqualFold(p, address) })
}
