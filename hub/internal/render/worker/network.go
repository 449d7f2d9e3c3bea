package worker

import (
	"errors"
	"net/http"
	"os"
)

var errNoNetwork = errors.New("a build has no network")

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoNetwork }

// DenyNetwork takes HTTP and the search path for programs from this process for good. It is for a process that only
// renders. Renderers refuse remote paths before their libraries see them. DenyNetwork is needed where that is not
// possible: the configuration of a kustomize plugin may be the result of another build, in which a patch can insert a
// URL.
func DenyNetwork() {
	http.DefaultTransport = noNetwork{}
	http.DefaultClient = &http.Client{Transport: noNetwork{}}
	_ = os.Unsetenv("PATH") // fails for malformed names only
}
