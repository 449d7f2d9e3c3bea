package registry

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/navefleet/nave/hub/internal/source"
)

// busyServers answers every request with a request to wait.
type busyServers struct{}

func (busyServers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{Request: r, StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"120"}},
		Body: io.NopCloser(strings.NewReader(""))}, nil
}

// TestGuard_busy waits for a registry, and for the server that gives its tokens, as for the registry. A server of
// somebody else, to which a blob may lead, has no say.
func TestGuard_busy(t *testing.T) {
	g := &guard{client: &http.Client{Transport: busyServers{}}, origin: &url.URL{Scheme: "https", Host: "index.docker.io"}}
	for address, waits := range map[string]bool{
		"https://index.docker.io/v2/org/app/tags/list": true, "https://auth.docker.io/token": true,
		"https://blobs.example.com/blob": false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := g.RoundTrip(r)
		if err == nil {
			_ = res.Body.Close()
		}
		busy, ok := errors.AsType[*source.BusyError](err)
		if ok != waits || ok && (busy.Server != "docker.io:443" || time.Until(busy.Until) < time.Minute) {
			t.Errorf("%s: got %v, want to wait: %v", address, err, waits)
		}
	}
}
