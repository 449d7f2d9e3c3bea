package trace

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

const (
	tracesPath     = "/v1/traces" // below the endpoint of all signals
	defaultService = "nave-hub"
)

// ErrProtocol: the environment asks for a protocol that the hub does not speak.
var ErrProtocol = errors.New("traces are exported by OTLP over HTTP only: set OTEL_EXPORTER_OTLP_PROTOCOL=http/json " +
	"and the receiver's HTTP port, usually 4318, or give --tracing-endpoint")

// FromEnvironment returns the Config that the standard variables of OpenTelemetry and the flag --tracing-endpoint ask
// for. The flag comes first, and is an endpoint of all signals. If none of them names an endpoint, the URL is empty.
func FromEnvironment(flag string, getenv func(string) string) (c Config, err error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return c, nil
	}
	base := cmp.Or(flag, getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	own := getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	switch protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL")); {
	case base == "" && own == "":
		return c, nil
	case flag == "" && protocol != "" && !strings.HasPrefix(protocol, "http/"):
		return c, fmt.Errorf("protocol %q: %w", protocol, ErrProtocol)
	case flag != "" || own == "":
		c.URL = strings.TrimSuffix(base, "/") + tracesPath
	default:
		c.URL = own
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Config{}, errors.New("the endpoint of traces is not an address such as http://collector:4318")
	}
	c.Service = cmp.Or(getenv("OTEL_SERVICE_NAME"), defaultService)
	c.Headers, err = headers(cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS"), getenv("OTEL_EXPORTER_OTLP_HEADERS")))
	return c, err
}

// headers reads "name=value,name=value", with values as in URLs. Its error has no value: it may be a token.
func headers(text string) (map[string]string, error) {
	all := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || err != nil || name == "" {
			return nil, errors.New("OTEL_EXPORTER_OTLP_HEADERS: want name=value,name=value")
		}
		all[name] = value
	}
	return all, nil
}
