// Package dial opens every connection to an address that a user's object names. A tenant chooses such an address, and
// must not reach with it what only the hub can reach.
//
// A Dialer resolves a name, compares each of its addresses with the Policy, and dials an address that was allowed, not
// the name. So a name that resolves to another address a moment later (DNS rebinding) gains nothing. Each redirect is a
// new connection and passes the same check.
//
// The Policy denies loopback, link-local, unspecified, multicast and reserved addresses, the metadata addresses of
// clouds, and the addresses of the hub's own machine, in every form of IPv6 that leads to an IPv4 address. Private
// ranges are allowed unless Policy.DenyPrivate, because many Git servers are in one. Policy.Allow opens ranges.
package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	timeout      = 20 * time.Second       // of connecting, all addresses of a name together
	headStart    = 250 * time.Millisecond // before the next address of a name is tried as well (RFC 8305)
	maxAddresses = 8                      // of a name that are tried
)

// Dialer dials what its Policy allows. It may be used from several goroutines.
type Dialer struct {
	policy  Policy
	proxy   proxyFunc
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	connect func(ctx context.Context, network, address string) (net.Conn, error)
	local   func() ([]netip.Addr, error) // addresses of this machine
}

// New returns a Dialer with the system's resolver.
func New(p Policy) *Dialer {
	return &Dialer{
		policy: p,
		proxy:  p.Proxies.choose(),
		resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		connect: new(net.Dialer).DialContext,
		local:   localAddresses,
	}
}

// localAddresses returns the addresses of this machine's interfaces.
func localAddresses() ([]netip.Addr, error) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("the addresses of this machine, which no source may lead to, cannot be read: %w; "+
			"a service that restricts address families needs AF_NETLINK", err)
	}
	var local []netip.Addr
	for _, a := range found {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			local = append(local, prefix.Addr().Unmap().WithZone(""))
		}
	}
	return local, nil
}

// DialContext connects to address, which is host:port. If the policy denies the address, the error is ErrDenied. Other
// errors are those of the resolver and of the connection.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	targets, err := d.check(ctx, address)
	if err != nil {
		return nil, err
	}
	return d.race(ctx, network, targets[:min(len(targets), maxAddresses)])
}

// check resolves host:port and returns the allowed addresses as address:port, at least one.
func (d *Dialer) check(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("%w: %q is not a host and a port", ErrDenied, address)
	}
	if d.policy.deniesHost(host) {
		return nil, fmt.Errorf("%w: %s is %s", ErrDenied, host, deniedByOperator)
	}
	found, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	local, err := d.local()
	if err != nil {
		return nil, err
	}
	var targets []string
	var why string
	for _, a := range found {
		refused := d.policy.refusal(a, local)
		if slices.ContainsFunc(forms(a), func(form netip.Addr) bool { return d.isOwn(ctx, form, port, local) }) {
			refused = "where this hub itself listens"
		}
		if refused == "" {
			targets = append(targets, net.JoinHostPort(a.Unmap().String(), port))
		}
		why = cmp.Or(why, refused)
	}
	if len(targets) == 0 && why == deniedByOperator {
		return nil, fmt.Errorf("%w: %s leads to %s", ErrDenied, host, why)
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%w: %s leads to %s; "+
			"the hub's flag --allow-source-address allows an address or a range, such as 127.0.0.0/8", ErrDenied, host, why)
	}
	return targets, nil
}

// lookup returns the addresses of a host, at least one.
func (d *Dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := d.resolve(ctx, host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return found, err
}

// isOwn reports whether the hub itself listens at an address.
func (d *Dialer) isOwn(ctx context.Context, a netip.Addr, port string, local []netip.Addr) bool {
	here := a.IsLoopback() || a.IsUnspecified() || slices.Contains(local, a)
	return slices.ContainsFunc(d.policy.Own, func(own string) bool {
		host, itsPort, err := net.SplitHostPort(own)
		if err != nil || itsPort != port {
			return false
		}
		if host == "" {
			return here
		}
		its, _ := d.lookup(ctx, host) // a name without addresses is not the hub's
		return slices.ContainsFunc(its, func(i netip.Addr) bool {
			i = i.Unmap()
			return i == a || here && (i.IsUnspecified() || a.IsUnspecified())
		})
	})
}

// attempt is the result of one try to connect.
type attempt struct {
	conn net.Conn
	err  error
}

// race connects to the first of some addresses that answers. Each is tried some time before the next.
func (d *Dialer) race(ctx context.Context, network string, targets []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan attempt, len(targets))
	next := time.NewTicker(headStart)
	defer next.Stop()
	started, running := 0, 0
	start := func() {
		if started == len(targets) {
			return
		}
		target := targets[started]
		started, running = started+1, running+1
		go func() {
			conn, err := d.connect(ctx, network, target)
			ended <- attempt{conn, err}
		}()
	}
	var errs []error
	for start(); running > 0; {
		select {
		case <-next.C:
			start()
		case a := <-ended:
			if running--; a.err == nil {
				go closeAll(ended, running)
				return a.conn, nil
			}
			errs = append(errs, a.err)
			start()
		}
	}
	return nil, errs[0]
}

// closeAll closes the connections of tries that lost the race.
func closeAll(ended <-chan attempt, running int) {
	for range running {
		if a := <-ended; a.err == nil {
			_ = a.conn.Close()
		}
	}
}

// isUnresolved reports whether a name could not be resolved.
func isUnresolved(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}
