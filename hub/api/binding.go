package api

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The annotations that limit the use of a Secret of the hub. A value is a list with commas between its items.
const (
	HostsAnnotation      = GroupFleet + "/hosts"
	NamespacesAnnotation = GroupFleet + "/namespaces"
)

// Binding limits the use of a Secret of the hub. A Secret with the zero Binding is for the operators' own sources.
type Binding struct {
	// Hosts are the servers that it may be shown to: host, for https, oci and ssh on their usual ports, or host:port.
	// Empty: any server that an operator's own source names.
	Hosts []string `json:"hosts,omitempty"`
	// Namespaces lists the namespaces whose sources may use the Secret although no operator applied those sources.
	Namespaces []string `json:"namespaces,omitempty"`
}

// ReadBinding returns the Binding in the annotations of a Secret. The error names the annotation and the wrong item.
func ReadBinding(annotations map[string]string) (Binding, error) {
	var b Binding
	var errs field.ErrorList
	at := field.NewPath("metadata", "annotations")
	if value, set := annotations[HostsAnnotation]; set {
		b.Hosts = names(strings.ToLower(value))
		errs = append(errs, checkNames(value, at.Key(HostsAnnotation), badHost)...)
	}
	if value, set := annotations[NamespacesAnnotation]; set {
		b.Namespaces = names(value)
		errs = append(errs, checkNames(value, at.Key(NamespacesAnnotation), validation.IsDNS1123Label)...)
	}
	if len(b.Namespaces) > 0 && len(b.Hosts) == 0 {
		errs = append(errs, field.Required(at.Key(HostsAnnotation),
			"a Secret that namespaces may use is bound to the hosts it is for"))
	}
	return b, errs.ToAggregate()
}

// Annotations returns the annotations that ReadBinding reads.
func (b Binding) Annotations() map[string]string {
	annotations := map[string]string{}
	for name, list := range map[string][]string{HostsAnnotation: b.Hosts, NamespacesAnnotation: b.Namespaces} {
		if len(list) > 0 {
			annotations[name] = strings.Join(list, ",")
		}
	}
	return annotations
}

// Equal reports whether two bindings have the same hosts and namespaces.
func (b Binding) Equal(other Binding) bool {
	return slices.Equal(b.Hosts, other.Hosts) && slices.Equal(b.Namespaces, other.Namespaces)
}

// badHost returns the error texts for an item of the hosts. If the item is valid, badHost returns none.
func badHost(item string) []string {
	host, port := splitHost(strings.ToLower(item))
	number, err := strconv.ParseUint(port, 10, 16)
	badPort := port != "" && (err != nil || number == 0)
	if badPort || net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
		return []string{"want host or host:port, such as git.example.com or git.example.com:8443; " +
			"no scheme, path or pattern"}
	}
	return nil
}

// splitHost returns the host and the port of an item. If the item has no port, port is "".
func splitHost(item string) (host, port string) {
	if host, port, err := net.SplitHostPort(item); err == nil && port != "" {
		return host, port
	}
	return item, ""
}

// usualPorts are the ports, by scheme, of hosts without a port. http is missing, because a Secret is sent in clear text
// only if its hosts name the port. oci is https.
var usualPorts = map[string]string{"https": "443", "ssh": "22", "oci": "443"}

// server is the server of a URL: scheme, host and port.
type server struct{ scheme, host, port string }

func serverOf(address string) (server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return server{}, errors.New("no host in the URL")
	}
	s := server{u.Scheme, strings.ToLower(u.Hostname()), u.Port()}
	if s.port == "" {
		s.port = map[string]string{"http": "80", "https": "443", "ssh": "22", "oci": "443"}[u.Scheme]
	}
	if s.port == "" {
		return server{}, fmt.Errorf("no port known for %q", u.Scheme)
	}
	return s, nil
}

// HostOf returns the item of the hosts annotation for the server of a URL. If no item can name the server, HostOf
// returns an error.
func HostOf(address string) (string, error) {
	s, err := serverOf(address)
	if err != nil {
		return "", err
	}
	item := s.host
	if s.port != usualPorts[s.scheme] {
		item = net.JoinHostPort(s.host, s.port)
	}
	if len(badHost(item)) > 0 {
		return "", fmt.Errorf("%q is not a host that a Secret can be bound to: want host or host:port, such as github.com",
			item)
	}
	return item, nil
}

// Names reports whether the hosts include the server of a URL.
func (b Binding) Names(address string) bool {
	s, err := serverOf(address)
	return err == nil && slices.ContainsFunc(b.Hosts, func(item string) bool {
		host, port := splitHost(item)
		return host == s.host && s.port == cmp.Or(port, usualPorts[s.scheme])
	})
}
