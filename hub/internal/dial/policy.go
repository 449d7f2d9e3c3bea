package dial

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ErrDenied is the error of an address that the Policy denies.
var ErrDenied = errors.New("the address is denied")

// Policy decides which addresses may be dialled. It is plain data, so that it can be sent to a confined process. The
// zero value denies the ranges of the package comment and allows private ranges.
type Policy struct {
	// Deny are ranges that the operator denies, also if Allow opens them. DenyHosts are names that the operator denies,
	// with all names below them, wherever they lead.
	Deny      []netip.Prefix `json:"deny,omitempty"`
	DenyHosts []string       `json:"denyHosts,omitempty"`
	// Allow opens ranges that are denied otherwise, but never the addresses of Own.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// DenyPrivate also denies private ranges.
	DenyPrivate bool `json:"denyPrivate,omitempty"`
	// Own are the addresses of this hub, as host:port: its listeners and the addresses that it advertises.
	Own []string `json:"own,omitempty"`
	// Proxies may have any address.
	Proxies Proxies `json:"proxies"`
}

// ParsePrefixes parses ranges of addresses (10.1.0.0/16) and single addresses (10.1.2.3). The error names the first
// text that is neither.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	var found []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil && a.Zone() == "" {
			prefix, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("%q is neither an address nor a range of addresses such as 10.1.0.0/16", text)
		}
		found = append(found, prefix)
	}
	return found, nil
}

// ParseDenied parses ranges, single addresses and names of hosts. The error names the first text that is none of these.
func ParseDenied(texts []string) (prefixes []netip.Prefix, hosts []string, err error) {
	for _, text := range texts {
		found, err := ParsePrefixes([]string{text})
		host := hostName(text)
		switch {
		case err == nil:
			prefixes = append(prefixes, found...)
		case len(validation.IsDNS1123Subdomain(host)) == 0 && strings.Trim(host, "0123456789.") != "":
			hosts = append(hosts, host)
		default:
			return nil, nil, fmt.Errorf("%q is neither an address, a range of addresses such as 10.1.0.0/16, nor a name of a "+
				"host", text)
		}
	}
	return prefixes, hosts, nil
}

// hostName returns a name of a host in the form that is compared.
func hostName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// deniedByOperator is the reason for an address or a host that the operator denies.
const deniedByOperator = "an address that the operator of this hub has denied"

// deniesHost reports whether the operator denies a host by its name.
func (p Policy) deniesHost(host string) bool {
	host = hostName(host)
	return slices.ContainsFunc(p.DenyHosts, func(name string) bool {
		return host == name || strings.HasSuffix(host, "."+name)
	})
}

// class is a range of addresses and its name in messages.
type class struct {
	prefix netip.Prefix
	name   string
}

func classes(name string, prefixes ...string) []class {
	var found []class
	for _, p := range prefixes {
		found = append(found, class{netip.MustParsePrefix(p), name})
	}
	return found
}

// denied are the ranges in which there are no sources.
var denied = slices.Concat(
	classes("a loopback address", "127.0.0.0/8", "::1/128"),
	classes("an unspecified address", "0.0.0.0/8", "::/128"),
	classes("a link-local address", "169.254.0.0/16", "fe80::/10"),
	// Alibaba, Azure, Oracle; AWS, Google. The others' are link-local.
	classes("an address of a cloud's metadata", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24", "fd00:ec2::/32",
		"fd20:ce::/32"),
	classes("a multicast or reserved address", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8"),
	classes("an address of a local translator", "64:ff9b:1::/48"),
)

// private are the ranges of private networks. Many Git servers are in one.
var private = classes("a private address",
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7", "fec0::/10")

// refusal returns what a denied address is, such as "a loopback address"; empty: the address is allowed. local are the
// addresses of this machine.
func (p Policy) refusal(a netip.Addr, local []netip.Addr) string {
	if !a.IsValid() || a.Zone() != "" {
		return "an address with a zone"
	}
	for _, form := range forms(a) {
		if why := p.judge(form, local); why != "" {
			return why
		}
	}
	return ""
}

// judge is refusal without a look at the addresses that are embedded in an address.
func (p Policy) judge(a netip.Addr, local []netip.Addr) string {
	contains := func(prefix netip.Prefix) bool { return prefix.Contains(a) }
	if slices.ContainsFunc(p.Deny, contains) {
		return deniedByOperator
	}
	if slices.ContainsFunc(p.Allow, contains) {
		return ""
	}
	within := func(c class) bool { return contains(c.prefix) }
	if i := slices.IndexFunc(denied, within); i >= 0 {
		return denied[i].name
	}
	if slices.Contains(local, a) {
		return "an address of the hub's own machine"
	}
	if i := slices.IndexFunc(private, within); i >= 0 && p.DenyPrivate {
		return private[i].name
	}
	return ""
}

// Prefixes of IPv6 addresses that lead to an IPv4 address.
var (
	compatible = netip.MustParsePrefix("::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	teredo     = netip.MustParsePrefix("2001::/32")
)

// forms returns an address in the form that is dialled, and the IPv4 addresses that are embedded in it.
func forms(a netip.Addr) []netip.Addr {
	a = a.Unmap()
	found := []netip.Addr{a}
	if a.Is4() {
		return found
	}
	b := a.As16()
	embedded := func(i int) { found = append(found, netip.AddrFrom4([4]byte(b[i:i+4]))) }
	switch {
	case a.IsUnspecified() || a.IsLoopback():
	case compatible.Contains(a), translated.Contains(a), nat64.Contains(a), isISATAP(b):
		embedded(12)
	case sixToFour.Contains(a):
		embedded(2)
	case teredo.Contains(a):
		embedded(4)
		for i := 12; i < 16; i++ { // the client's address is written inverted
			b[i] = ^b[i]
		}
		embedded(12)
	}
	return found
}

// isISATAP reports whether an address's interface identifier is that of ISATAP (RFC 5214).
func isISATAP(b [16]byte) bool {
	return b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}
